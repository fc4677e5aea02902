"""A network of another space than Cream's, named in a config: its head, and how it sees images."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ..files import say_early
from ..registry import kind_of
from .normalisation import fit_images

ARCH = 'model.backbone.arch'
# Supernets whose maps are as wide as the stages of their space.
CELLS = dict(NASBench201Supernet='NASBench201Space', NAOSupernet='NAOSpace')
NO_NORM = dict(norm_cfg=None, act='silu')  # of a CreamClsHead
WITH_HIDDEN = ('CreamClsHead', 'CreamMultiLabelClsHead')
HIDDEN = dict(CreamClsHead=1280, CreamMultiLabelClsHead=1280, NAOClsHead=None)
"""Hidden channels of our heads, where a config does not say them."""
HEADS = tuple(HIDDEN)
MAX_NAME = 60  # of what is named in a line
CHANNELS = ('in_channels', 'aux_channels')


def fit_network(cfg: Config, options: Mapping[str, Any]) -> None:
    """Give a classifier the head that its network asks for, in place, and its weights their images.

    A head follows an architecture that the command line names, and its channels those of any
    network; behind a published network that the config itself names it has to fit already.

    Args:
        cfg (Config): Of any model.
        options (dict): What the command line overrides.

    Raises:
        ValueError: If a head of ours does not fit the published network that the config names, or
            that of the networks that a search counts; or as :func:`fit_images`.
    """
    model = cfg.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('backbone'), dict):
        return
    backbone, head = model['backbone'], model.get('head')
    is_ours = isinstance(head, dict) and kind_of(head) in HEADS
    if 'arch' in backbone and is_ours:
        from ..models.backbones import own_class  # with torch

        if own_class(backbone):
            _fit_head(head, backbone, options)
    elif kind_of(backbone) == 'CreamSupernet' and isinstance(head, dict):
        _check_norm(head, backbone)
    elif kind_of(backbone) in CELLS and is_ours:
        _fit_width(head, backbone)
    fit_images(cfg, options, say_early)


def _check_norm(head: dict, backbone: dict) -> None:
    """Costs of a space count a norm in the head, so that the head of a search has to have it."""
    from ..spaces import MBConvSpace

    if kind_of(head) not in WITH_HIDDEN or not head.get('hidden_channels', 1280):
        return
    space = MBConvSpace.build(backbone.get('space'))
    if bool(head.get('norm_cfg')) != space.head_norm:
        asked = 'a norm_cfg and an act' if space.head_norm else 'no norm_cfg'
        raise ValueError(
            f'model.head: the space {space.name!r} asks for {asked}, head_norm={space.head_norm}'
        )


def _fit_width(head: dict, backbone: dict) -> None:
    """The head behind cells has the channels of the last map, whatever width they were given."""
    from ..spaces import known_spaces

    space = known_spaces()[CELLS[kind_of(backbone)]]
    channels = space.build(backbone.get('space')).stage_channels
    indices = backbone.get('out_indices') or (len(channels) - 1,)
    wanted = channels[min(max(indices), len(channels) - 1)]
    if head.get('in_channels', 320) != wanted:
        head['in_channels'] = wanted
        say_early(f'The head is that of the cells: in_channels={wanted}.')


def _fit_head(head: dict, backbone: dict, options: Mapping[str, Any]) -> None:
    """The head behind a fixed network. Channels follow it, unless the config names a published one;
    its layers and norms follow an architecture of the command line."""
    from ..models.backbones import own_class
    from ..models.backbones.published import published_nets
    from ..models.backbones.resolve_arch import resolve_arch

    network, named = own_class(backbone), backbone['arch']
    is_published = isinstance(named, str) and named in published_nets
    its_space = backbone.get('space')
    fields = set(its_space) if isinstance(its_space, Mapping) else set()
    # A value of the space, too: model.backbone.space.channels, or channels where a config has it.
    follows = ARCH in options or any(key.rpartition('.')[2] in fields for key in options)
    try:
        arch, space, about = resolve_arch(named, its_space, network.space_class)
    except (OSError, ValueError):
        if is_published or ARCH in options:
            raise
        return  # the network itself says what is wrong
    indices = backbone.get('out_indices')
    hidden = head.get('hidden_channels', HIDDEN[kind_of(head)]) or 0
    its_own = network.head_settings(arch, space)['hidden_channels']
    if bool(hidden) != bool(its_own):
        hidden = its_own
    norm_cfg = backbone.get('norm_cfg') or about.get('norm_cfg')
    wanted = network.head_settings(arch, space, hidden, norm_cfg)
    if indices:
        wanted['in_channels'] = network.map_channels(arch, space)[max(indices)]
    wanted |= {k: v for k, v in network.head_channels(arch, space).items() if head.get(k)}
    if not (is_published or ARCH in options):  # what else it has is up to the config
        wanted = {key: value for key, value in wanted.items() if key in CHANNELS}
        follows = True
    elif kind_of(head) in WITH_HIDDEN:
        wanted = {**NO_NORM, **wanted}
    defaults = dict(NO_NORM, in_channels=320, hidden_channels=HIDDEN[kind_of(head)])
    wrong = {k: v for k, v in wanted.items() if _differ(head.get(k, defaults.get(k)), v)}
    if not wrong:
        return
    told = ', '.join(f'{key}={value!r}' for key, value in wrong.items())
    name = named if isinstance(named, str) and len(named) <= MAX_NAME else 'the network'
    if not follows:
        raise ValueError(f'model.head does not fit {name}: it needs {told}')
    head.update(wrong)
    say_early(f'The head is that of {name}: {told}.')


def _differ(given: Any, wanted: Any) -> bool:
    """Of norm layers the eps alone: they may be synchronised, or move faster."""
    if given and isinstance(wanted, dict):
        return given.get('eps', 1e-5) != wanted.get('eps', 1e-5)
    return (given or 0) != (wanted or 0)
