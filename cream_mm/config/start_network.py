"""``start``: the network that a search begins with, put into its config with all that it decides.

Architecture, space, weights and head are those of the start, and so are mean and deviation of the
images: weights that get other images than those of their training lose points without an error.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..registry import kind_of
from .carry import override
from .fit_network import WITH_HIDDEN
from .normalisation import put_images
from .start_file import Start, read_start

Say = Callable[[str], None]

BACKBONES = ('ElasticSupernet', 'CreamNet')  # that a start can be put into
MIN_SIDE = 32  # pixels; the last maps of a smaller image have no pixel beside their own padding
SIDE_STEP = 4  # pixels; sizes that follow input_size are multiples of it


def fit_start(cfg: Config, options: Mapping[str, Any], say: Say) -> None:
    """Put the network that ``start`` names into a config, in place.

    ``start`` is the name of a published network whose weights are installed (``'lite0'``), a
    checkpoint, the folder of an export (``arch.json`` and ``weights.pth``) or the work directory of
    a retraining. ``model.backbone`` gets architecture, space and weights, ``model.head`` what fits
    behind them, ``model.data_preprocessor`` the normalisation that the weights were trained with.
    If the checkpoint was trained for the very classes of the data, the whole network is not trained
    again: ``train_cfg.full_share`` becomes 0, and ``max_epochs`` loses those epochs.

    A config that was fitted before, as the copy that a run leaves, is left as it is, and so is one
    without ``start``.

    Args:
        cfg (Config): Its data looked at, so that ``classes`` are known.
        options (dict): What was given beside the config, dotted keys.
        say (Callable): Called with each line for the user.

    Raises:
        FileNotFoundError: If there is no such file, or a package with weights is not installed.
        ValueError: If the file does not tell its network, is of another kind, or a size of
            ``input_sizes`` is none; or if ``options`` ask for another normalisation.
    """
    start = cfg.get('start')
    if start is None:
        return
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    if kind_of(backbone) not in BACKBONES:
        raise ValueError(
            f'start={start}: model.backbone is a {kind_of(backbone)}; a start can be put into '
            f'{" or ".join(BACKBONES)}'
        )
    if backbone.get('init_cfg') and 'start' not in options:
        return
    if not isinstance(start, (str, Path)) or not str(start):
        raise ValueError(f'start is the name of a network, a file or a folder; got {start!r}')
    found = read_start(str(start))
    _put_network(cfg, found)
    put_images(cfg, found.preprocess, found.name, options, say)
    if 'input_sizes' in cfg:
        fit_sizes(cfg, options, found.input_size, say)
    _skip_full(cfg, options, found, say)


# ---- into the config ---------------------------------------------------------------------------


def _put_network(cfg: Config, start: Start) -> None:
    from ..models.backbones import network_class  # with torch

    backbone, head = cfg.model.backbone, cfg.model.get('head')
    init = dict(type='Pretrained', checkpoint=start.checkpoint)
    space = None if start.is_published else start.space.to_dict()
    arch = start.name if start.is_published else start.arch.to_list()
    for key, value in dict(arch=arch, space=space, init_cfg=init).items():
        backbone[key] = value  # a config's update() would merge two spaces
    if start.norm_cfg:
        backbone['norm_cfg'] = start.norm_cfg
    if head is None or kind_of(head) not in WITH_HIDDEN:
        return
    network = network_class(start.space)
    hidden = start.hidden if start.hidden is not None else head.get('hidden_channels')
    settings = network.head_settings(start.arch, start.space, hidden, start.norm_cfg)
    for key, value in {'norm_cfg': None, 'act': 'silu', **settings}.items():
        head[key] = value
    head['init_cfg'] = init if start.hidden is not None else None
    if isinstance(backbone.get('costs'), dict):
        backbone['costs']['head_channels'] = settings['hidden_channels']


def fit_sizes(cfg: Config, options: Mapping[str, Any], own: int | None, say: Say) -> None:
    """``input_sizes``, largest first, the first of which is ``input_size``; in place.

    Where one of the two is given, the other follows; where none is, they are those of the start.

    Args:
        cfg (Config): With both, and ``model.backbone.input_sizes``.
        options (dict): What was given beside the config.
        own (int, optional): Of the images that the start was trained on.
        say (Callable): Called with each line for the user.

    Raises:
        ValueError: If a size is below :data:`MIN_SIDE`, or the two contradict each other.
    """
    sizes = cfg.input_sizes
    sizes = [sizes] if isinstance(sizes, int) else list(sizes or ())
    given = {key for key in ('input_size', 'input_sizes') if key in options}
    side = cfg.input_size
    if given == {'input_sizes'} and sizes:
        side = max(sizes)
    elif not given and own is not None:
        side = own
    if given == {'input_size', 'input_sizes'} and sizes and max(sizes) != side:
        raise ValueError(
            f'input_size={side} is to be the largest of input_sizes={sizes}: give one of them'
        )
    if sizes and max(sizes) != side:
        sizes = [_scaled(size, side, max(sizes)) for size in sizes]
        say(f'input_sizes={sorted(set(sizes), reverse=True)}, as input_size={side}')
    if small := [size for size in (*sizes, side) if size < MIN_SIDE]:
        raise ValueError(f'input_size {small[0]}: a network like this needs {MIN_SIDE} pixels')
    if side != cfg.input_size:
        override(cfg, dict(input_size=side))
    sizes = sorted(set(sizes), reverse=True)
    cfg.input_sizes = sizes
    cfg.model.backbone['input_sizes'] = sizes if len(sizes) > 1 else []  # one is no choice


def _scaled(size: int, side: int, largest: int) -> int:
    """A size as another largest one has it, in steps of :data:`SIDE_STEP`."""
    if size == largest:
        return side
    return min(side, max(MIN_SIDE, SIDE_STEP * round(size * side / largest / SIDE_STEP)))


def _skip_full(cfg: Config, options: Mapping, start: Start, say: Say) -> None:
    """What was trained for the data's classes is not trained for them again."""
    share = (cfg.get('train_cfg') or {}).get('full_share')
    if share in (None, 0, 1) or 'full_share' in options:
        return
    if start.hidden is None or not start.is_trained:
        return
    classes = tuple(cfg.get('classes') or ())
    if not classes:  # nobody has looked at the data
        return
    if start.classes != classes:
        why = 'does not name its classes' if start.classes is None else 'is of other classes'
        if set(start.classes or ()) == set(classes):
            why = 'has the classes in another order'
        say(f'{start.name} {why}: the whole network is fine-tuned first')
        return
    from ..engine.schedulers.two_cosines import first_epochs  # with torch

    epochs = cfg.get('max_epochs')
    if epochs and 'max_epochs' not in options:
        override(cfg, dict(max_epochs=epochs - first_epochs(epochs, share)))
    override(cfg, dict(full_share=0) if 'full_share' in cfg else {'train_cfg.full_share': 0})
    say(
        f'{start.name} knows these {len(classes)} classes: the whole network is not fine-tuned '
        f'again; {cfg.max_epochs} epochs for its slices. If it was trained on this set, it knows '
        'images that are held out here: large slices are rated too well beside small ones '
        '(docs/photos.md)'
    )
