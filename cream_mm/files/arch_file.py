"""The file of an exported architecture: its content, and reading it without trusting it."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..costs import CostModel, build_cost_model
from ..registry import type_name
from ..spaces import Space
from ..structures import Arch
from ..version import __version__
from .read import read_json, shorten
from .slice_of import check_slice
from .space_entry import MAX_CHANNELS, MAX_LAYERS, MAX_NAME, MAX_SIDE, check_space, is_number, need

ARCH_FORMAT = 'cream_mm.arch/1'
"""Value of the "format" key in files that hold an exported architecture."""

DETECTION = 'detection'
"""Value of the "task" key of what a detector's search found."""

RULES = dict(
    effects='the effects of its choices on the training loss',
    combined='its rating, among random paths and those that a fit to their ratings puts first',
    board='its rating, among the paths of the board',
    archive='its rating, among all paths of the pools that were trained',
    random='its rating, among random paths, the cheapest and the costliest',
    given='its scores in a strategy',
    folds='its ratings by the supernets of all folds, each on images that it was not trained on',
    blocks='the sum of the ratings of its blocks, each on its own',
)
"""How an answer was chosen, ``choice.rule`` in its file, in words."""

# Norm layers that a file may ask for, and with what; another type would be any class there is.
BATCH_NORMS = ('BN', 'BN2d', 'SyncBN', 'MMSyncBN')
NORMS = (*BATCH_NORMS, 'GN', 'IN', 'IN2d')
NORM_ARGUMENTS = ('eps', 'momentum', 'affine', 'track_running_stats', 'requires_grad', 'num_groups')

IN_FOLDERS = ('ImageFolder', 'LabelledImages')  # images with classes, split class by class
SPLIT = ('holdout', 'split_seed')  # by these; the same ones split other sets otherwise

# Far beyond any run, and small enough for a few bytes of JSON not to fill a machine's memory.
MAX_CLASSES, MAX_BATCH, MAX_WORKERS, MAX_CLASS_NAME = 1_000_000, 1_000_000, 10_000, 4096
MAX_PARAMS = 1e9


def arch_content(arch: Arch, costs: CostModel, **more: Any) -> dict:
    """What the file of an exported architecture holds.

    Args:
        arch (Arch): The architecture.
        costs (CostModel): Of its space, image size, classes and head.
        **more: Further entries.
    """
    head = dict(num_classes=costs.num_classes, head_channels=costs.head_channels or 0)
    return dict(
        format=ARCH_FORMAT,
        arch=arch.to_list(),
        space=costs.space.to_dict(),
        **({} if costs.num_classes is None else head),  # a backbone alone
        input_size=list(costs.input_size),
        costs=costs.cost(arch).in_units(),
        **more,
        cream_mm=__version__,
        layers=costs.layer_table(arch),
    )


def run_settings(cfg: Mapping, norm_cfg: Mapping) -> dict:
    """What the configs of an export take over from the search.

    Args:
        cfg (Config): The search's config.
        norm_cfg (dict): Its norm layers; what it does not say is torch's default.

    Returns:
        dict: ``norm_cfg``, ``classes`` (their names, if known), ``batch_size``, ``num_workers``,
        ``folders`` below ``data_root``, ``split``, what decides which images of a folder are held
        out, a detector's ``scale``, and what tells how the data is read, as far as the config has
        them.
    """
    loader = cfg.get('train_dataloader') or {}
    datasets = dict(train=loader, val=cfg.get('val_dataloader') or {})
    datasets = {side: item.get('dataset') or {} for side, item in datasets.items()}
    train = datasets['train']
    by_class = train if type_name(train.get('type')) in IN_FOLDERS else {}
    folders = {
        side: dataset.get('folder', 'train') for side, dataset in datasets.items()
        if type_name(dataset.get('type')) == 'ImageFolder'
    }  # fmt: skip
    defaults = dict(eps=1e-5, momentum=0.1) if norm_cfg.get('type') in BATCH_NORMS else {}
    settings = dict(
        norm_cfg={**defaults, **norm_cfg},
        classes=list(cfg.get('classes') or []),
        batch_size=loader.get('batch_size'),
        num_workers=loader.get('num_workers'),
        folders=folders,
        split={key: by_class[key] for key in SPLIT if key in by_class},
        scale=list(cfg.get('scale') or []),
        data_kind=cfg.get('data_kind'),
        multi_label=cfg.get('multi_label'),
        label_column=cfg.get('label_column'),
    )
    return {key: value for key, value in settings.items() if value not in (None, [], {})}


def read_arch_file(path: str | Path) -> dict:
    """Read an exported architecture (``best_arch.json``, ``arch.json``).

    Raises:
        ValueError: If the file is missing, is something else, or holds values that no export
            writes; they would decide what is built, or which file is run.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f'no architecture file {path}; a search writes it as best_arch.json into its work_dir'
        )
    foreign = (
        f'{path} is not an exported architecture: it needs "format": "{ARCH_FORMAT}", "arch" and '
        '"space"'
    )
    try:
        # A search that went wrong may have rated its answer with a loss of NaN.
        content = read_json(path, finite=False)
    except ValueError as error:
        raise ValueError(f'{foreign} ({error})') from None
    ok = isinstance(content, dict) and content.get('format') == ARCH_FORMAT
    ok = ok and isinstance(content.get('arch'), list) and isinstance(content.get('space'), dict)
    if not ok:
        raise ValueError(foreign)
    try:
        _check(content)
    except (AttributeError, TypeError, OverflowError, ValueError) as error:
        raise ValueError(
            f'{path} is damaged, or not from an export: {shorten(str(error), 300)}'
        ) from None
    return content


def network_of(row: Mapping, where: str) -> tuple[Arch, Space]:
    """What ``arch`` and ``space`` of an entry build, as those of an exported architecture.

    Args:
        row (Mapping): From a file, such as a step of ``front.json``.
        where (str): Where it stands, for the message.

    Raises:
        ValueError: If no export writes such values.
    """
    try:
        arch, space = _check_network(row)
        _check_params(arch, build_cost_model(space, 224, head=None))
        return arch, space
    except (AttributeError, KeyError, TypeError, OverflowError, ValueError) as error:
        raise ValueError(f'{where} is damaged: {shorten(str(error), 300)}') from None


def _check(content: dict) -> None:
    """Every entry that is used later has the type and the range that an export gives it."""
    arch, space = _check_network(content)
    for key, low, high in (('num_classes', 1, MAX_CLASSES), ('head_channels', 0, MAX_CHANNELS)):
        if key in content:
            value = content[key]
            need(type(value) is int and low <= value <= high, key, value)
    for key in ('input_size', 'scale'):
        size = content.get(key, [224, 224])
        ok = isinstance(size, list) and len(size) == 2
        ok = ok and all(type(side) is int and 1 <= side <= MAX_SIDE for side in size)
        need(ok, key, size)
    travel = content.get('weights_travel', True)
    need(isinstance(travel, bool), 'weights_travel', travel)
    router = content.get('router', '')  # a class that is known by then, or the export refuses it
    need(isinstance(router, str) and len(router) <= MAX_NAME, 'router', router)
    size, classes = content.get('input_size', [224, 224]), content.get('num_classes', 1000)
    _check_params(arch, build_cost_model(space, size, classes, content.get('head_channels')))
    rating = content.get('rating') or {}
    need(isinstance(rating, Mapping), 'rating', rating)
    top1, count = rating.get('top1_pct', 0), rating.get('num_images', 1)
    need(is_number(top1, 100) and top1 >= 0, 'rating.top1_pct', top1)
    need(type(count) is int and count > 0, 'rating.num_images', count)
    metric, value = rating.get('metric', ''), rating.get('value', 0)
    ok = isinstance(metric, str) and len(metric) <= MAX_NAME and is_number(value, 1e9)
    need(ok, 'rating.value', f'{metric}: {value}')
    need(content.get('task', DETECTION) == DETECTION, 'task', content.get('task'))
    # A "type" here would be built: any class there is, with arguments from the file.
    preprocess = content.get('preprocess') or {}
    ok = isinstance(preprocess, Mapping) and set(preprocess) <= {'mean', 'std', 'to_rgb'}
    need(ok, 'preprocess', preprocess)
    for key in ('mean', 'std'):
        values = preprocess.get(key)
        ok = isinstance(values, list) and all(is_number(x, 1e6) for x in values)
        need(ok or values is None, f'preprocess.{key}', values)
    need(isinstance(preprocess.get('to_rgb', True), bool), 'preprocess.to_rgb', preprocess)
    share = content.get('crop_pct', 1)
    need(type(share) in (int, float) and 0.01 <= share <= 1, 'crop_pct', share)
    costs = content.get('costs') or {}
    time = costs.get('latency_ms') if isinstance(costs, Mapping) else costs
    ok = time is None or is_number(time, 1e9) and time >= 0 and not isinstance(time, bool)
    need(ok, 'costs.latency_ms', time)
    latency = content.get('latency') or {}
    ok = isinstance(latency, Mapping) and isinstance(latency.get('machine') or {}, Mapping)
    need(ok, 'latency', latency)
    choice = content.get('choice') or {}
    ok = isinstance(choice, Mapping) and isinstance(choice.get('notes') or [], list)
    need(ok, 'choice', choice)
    check_next_steps(content.get('next_steps') or {})
    need(isinstance(content.get('data_root') or '', str), 'data_root', content.get('data_root'))
    _check_run_settings(content, classes)


def _check_network(content: Mapping) -> tuple[Arch, Space]:
    """The architecture, and its space with the architecture's own depths."""
    layers = [choice for stage in content['arch'] for choice in stage]
    need(len(layers) <= MAX_LAYERS, 'arch', f'{len(layers)} layers')
    space = check_space(content['space']).build(content['space'])
    channels = getattr(space, 'stage_channels', ())
    need(max(channels, default=0) <= MAX_CHANNELS, 'space', 'too many channels')
    arch = space.parse(content['arch'])
    space = space.of_network(arch)
    check_slice(content, arch, space)
    return arch, space


def _check_params(arch: Arch, costs: CostModel) -> None:
    need(costs.cost(arch).params <= MAX_PARAMS, 'arch', f'a network of over {MAX_PARAMS} weights')


def _check_run_settings(content: Mapping, num_classes: int) -> None:
    norm = content.get('norm_cfg') or {}
    ok = isinstance(norm, Mapping) and norm.get('type', 'BN') in NORMS
    ok = ok and set(norm) <= {'type', *NORM_ARGUMENTS}
    numbers = [value for key, value in norm.items() if key != 'type' and value is not None]
    ok = ok and all(is_number(value, 1e6) for value in numbers)
    need(ok, 'norm_cfg', norm)
    names = content.get('classes') or []
    ok = isinstance(names, list) and all(type(x) is str and len(x) <= MAX_CLASS_NAME for x in names)
    need(ok and len(names) <= num_classes, 'classes', names)
    for key, low, high in (('batch_size', 1, MAX_BATCH), ('num_workers', 0, MAX_WORKERS)):
        value = content.get(key, low)
        need(type(value) is int and low <= value <= high, key, value)
    kind = content.get('data_kind')
    need(kind is None or isinstance(kind, str) and kind.isidentifier(), 'data_kind', kind)
    several, column = content.get('multi_label'), content.get('label_column')
    need(several is None or isinstance(several, bool), 'multi_label', several)
    ok = isinstance(column, (str, type(None))) and len(column or '') <= MAX_CLASS_NAME
    need(ok, 'label_column', column)
    folders = content.get('folders') or {}
    ok = isinstance(folders, Mapping) and set(folders) <= {'train', 'val'}
    ok = ok and all(isinstance(value, str) for value in folders.values())
    need(ok, 'folders', folders)
    split = content.get('split') or {}
    need(isinstance(split, Mapping) and set(split) <= set(SPLIT), 'split', split)
    share, seed = split.get('holdout', 'auto'), split.get('split_seed', 0)
    need(share == 'auto' or is_number(share, 1) and 0 < share < 1, 'split.holdout', share)
    need(type(seed) is int and 0 <= seed < 2**63, 'split.split_seed', seed)


def check_next_steps(steps: Mapping[str, str]) -> None:
    """Check which configs an export builds on.

    A config is a program: for a file from elsewhere, only those of this repository are run.

    Raises:
        ValueError: If one does not lie below ``configs/``.
    """
    need(isinstance(steps, Mapping), 'next_steps', steps)
    for key, value in steps.items():
        parts = PurePosixPath(value).parts if isinstance(value, str) else ()
        ok = parts[:1] == ('configs',) and '..' not in parts and parts[-1].endswith('.py')
        ok = ok and '\\' not in value and '\0' not in value
        if not ok:
            text = str(value)
            raise ValueError(
                f'"next_steps.{key}" is {text if len(text) < 200 else text[:200] + "..."!r}, not a '
                'config below configs/ of the repository'
            )
