"""What the configs of an export share: normalisation, readiness for other tools, and their text."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..command_words import as_typed
from ..config.carry import entries, override
from ..config.check import KNOWN_KEYS, own_names
from ..files import write_whole
from ..files.config_text import Code, config_text
from ..models.backbones import network_class
from ..spaces import Space
from ..structures import Arch

# Where a variable of a config is used, so that an exported one can be edited as its base can be.
USED_AS = dict(
    data_root=('data_root',),
    num_classes=('num_classes',),
    input_size=('input_size', 'scale', 'crop_size'),
    scale=('scale', 'img_scale', 'crop_size', 'size'),
    batch_size=('batch_size',),
    max_epochs=('max_epochs', 'end'),
    num_workers=('num_workers',),
    lr=('lr',),
    channels=('channels',),
    num_cells=('num_cells',),
    classes=('classes',),
    train_pipeline=('pipeline',),
    test_pipeline=('pipeline',),
)
# mmengine compiles a config under its own absolute path, wherever it was moved. Its template
# {{ fileDirname }} would paste the name of a folder into the code.
# And an import would make it one of mmengine's new style, for its older versions.
_THIS = "__import__('pathlib').Path((lambda: 0).__code__.co_filename)"
WEIGHTS_BESIDE = Code(f"str({_THIS}.with_name('weights.pth'))")
# The full network that slices are distilled from: beside the config, or once for several folders.
FULL_BESIDE = Code(f"str({_THIS}.with_name('full.pth'))")
FULL_ABOVE = Code(f"str({_THIS}.parents[1] / 'full.pth')")


# ---- values of the search ------------------------------------------------------------------------


def take_over(cfg: Config, about: Mapping, keys: tuple[str, ...]) -> None:
    """Values of the search, carried to every place that uses them."""
    options = {key: about[key] for key in keys if about.get(key) is not None and key in cfg}
    override(cfg, options)
    if 'data_root' in options and about.get('data_kind'):
        cfg.data_kind = about['data_kind']


def set_backbone(
    backbone: dict, arch: Arch, space: Space, about: Mapping, *, its_space: Mapping | None = None
) -> None:
    """Architecture and norm layers of a :class:`FixedNetwork`, in place.

    Args:
        backbone (dict): Its config.
        arch, space (Arch, Space): What it is to be.
        about (dict): Of the search; its ``norm_cfg`` wins over the config's.
        its_space (dict, optional): What the config changes about the space, whatever the
            architecture.
    """
    network = network_class(space).config(arch, space)
    for key, value in dict(network, space={**network['space'], **(its_space or {})}).items():
        backbone[key] = value  # a config's update() would merge two spaces
    norm_cfg = {**(backbone.get('norm_cfg') or {}), **(about.get('norm_cfg') or {})}
    if norm_cfg:
        backbone['norm_cfg'] = norm_cfg


# ---- for any tool of OpenMMLab -------------------------------------------------------------------


def ready(cfg: Config, *, scope: str) -> Config:
    """For any tool of OpenMMLab, not only those here; in place."""
    if cfg.get('load_from') is None:
        cfg.pop('load_from', None)  # mmpretrain takes a None for weights
    for side in ('train', 'val', 'test'):
        loader = cfg.get(f'{side}_dataloader')
        if loader and loader.get('num_workers') == 0:
            loader['persistent_workers'] = False  # torch refuses it without workers
    # Inferencers look for this name and put their own loading in its place; the classic mmdet
    # knows it without a scope only. They do not know of damaged files, for which our loader stays
    # in training and validation.
    for node, key in list(entries(cfg.get('test_dataloader'))):
        kind = node.get('type') if key == 'type' else None
        if kind in ('cream_mm.LoadImage', 'cream_mm.LoadImageFromFile'):
            node.clear()
            node['type'] = 'LoadImageFromFile'
    if scope == 'mmpretrain':
        # Its inferencer builds the others in the scope of whoever was there before.
        for step in cfg.test_dataloader.dataset.pipeline:
            if '.' not in step.type and step.type != 'LoadImageFromFile':
                step.type = f'{scope}.{step.type}'
    return cfg


# ---- its text ------------------------------------------------------------------------------------


def write_config(path: Path, cfg: Config, comment: str, *, own: bool = True) -> None:
    """A config without a base, whose entries refer to its variables.

    Args:
        path (Path): Where to.
        cfg (Config): Its content.
        comment (str): Above it, a line or more.
        own (bool): Whether the variables are those of this repository's configs. Those of other
            people's are dictionaries and lists by any name, where they stand somewhere whole.
            From their ``max_epochs`` and ``input_size`` other numbers may have been computed, so
            that these stand for none: changing half of them would be worse. Defaults to True.
    """
    values = cfg._cfg_dict.to_dict()
    used_as = dict(USED_AS)
    if not own:
        del used_as['max_epochs'], used_as['input_size'], used_as['lr']
        for name in ('input_size', 'lr'):
            values.pop(name, None)
    variables = {name: values[name] for name in USED_AS if values.get(name) is not None}
    wholes = set()
    if not own:
        wholes = _wholes(values)
        # A larger one may hold a smaller one, which has to be written before it is named.
        names = sorted([*variables, *wholes], key=lambda name: _size(values[name]))
        variables = {name: values[name] for name in names}

    def refer(node: Mapping, key: str) -> str | None:
        value = node[key]
        for name, top in variables.items():
            by_key = name in used_as and key in used_as[name]
            same = (by_key or name in wholes) and type(value) is type(top) and value == top
            if same and not (key == 'end' and not node.get('by_epoch', True)):
                return name
        return None

    rest = {k: v for k, v in values.items() if k not in variables and k in KNOWN_KEYS}
    if not own and (slips := own_names(Config({**variables, **rest}))):
        rest['own_names'] = slips
    text = config_text({**variables, **rest}, refer)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '\n'.join(_comment(line) for line in comment.split('\n'))
    lines = (
        f'{head}\n'
        '#\n'
        f'#   {as_typed("python tools/train.py")} THIS_FILE --cfg-options data_root=FOLDER\n'
        '#\n'
        '# A value given with --cfg-options reaches every place that uses it.\n'
    )
    write_whole(path, f'{lines}{text}'.encode())


def _comment(line: str) -> str:
    """What stands in a comment stays there; mmengine fills its templates in comments, too."""
    return '# ' + re.sub(r'[^\x20-\x7e\xa0-\uffff]', ' ', line).replace('{{', '{ {')


def _wholes(values: Mapping) -> set[str]:
    """Names of the user's for dictionaries and lists that stand whole in what is written."""
    live = [key for key in values if key in KNOWN_KEYS or key in USED_AS]
    names = [k for k, v in values.items() if k not in live and _holds_more(v)]
    found = set()
    for name in sorted(names, key=lambda name: -_size(values[name])):
        if any(_stands_in(values[key], values[name]) for key in (*live, *found)):
            found.add(name)
    return found


def _holds_more(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, (list, tuple)) and any(isinstance(x, Mapping) for x in value)


def _size(value: Any) -> int:
    return sum(1 for _ in entries(value))


def _stands_in(node: Any, value: Any) -> bool:
    inside = (holder[key] for holder, key in entries(node))
    return any(type(other) is type(value) and other == value for other in inside)
