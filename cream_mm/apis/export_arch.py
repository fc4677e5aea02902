"""Turns a path of a supernet into a folder that others can use, wherever it lies."""

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config

from ..checkpoints import load_weights
from ..checkpoints.whole_file import latest_checkpoint
from ..config.carry import entries, override, read_config
from ..config.check import _KNOWN as KNOWN_KEYS
from ..costs import build_cost_model
from ..files import write_json, write_whole
from ..files.arch_file import DETECTION, arch_content, check_next_steps
from ..files.config_text import Code, config_text
from ..files.front_file import read_steps
from ..models.backbones.cream_net import resolve_arch
from ..models.supernets import cut_path
from ..spaces import MBConvSpace
from ..structures import Arch

DEFAULT_NEXT_STEPS = dict(
    retrain='configs/cream/retrain_imagenet.py', detector='configs/retinanet_cream.py'
)
# Where a variable of a config is used, so that an exported one can be edited as its base can be.
USED_AS = dict(
    data_root=('data_root',),
    num_classes=('num_classes',),
    input_size=('input_size', 'scale', 'crop_size'),
    scale=('scale', 'img_scale', 'crop_size', 'size'),
    batch_size=('batch_size',),
    max_epochs=('max_epochs', 'end'),
    num_workers=('num_workers',),
    classes=('classes',),
    train_pipeline=('pipeline',),
    test_pipeline=('pipeline',),
)
# mmengine compiles a config under its own absolute path, wherever it was moved. Its template
# {{ fileDirname }} would paste the name of a folder into the code.
# And an import would make it one of mmengine's new style, for its older versions.
WEIGHTS_BESIDE = Code(
    "str(__import__('pathlib').Path((lambda: 0).__code__.co_filename).with_name('weights.pth'))"
)


def export_arch(arch: str, checkpoint: str | None, out: str, *, root: str) -> dict[str, Path]:
    """Write architecture, weights and ready-to-run configs into one folder.

    The folder needs nothing outside it but cream_mm, and can be moved. Its configs hold all that a
    run needs, except that a detector's classes are those of the data that it is trained on: that
    run's own config, in its work_dir, has them.

    Args:
        arch (str): A published name, ``best_arch.json``, or a nested list.
        checkpoint (str, optional): The supernet. Defaults to the newest checkpoint beside the JSON
            that is whole; without any, no weights are written.
        out (str): Folder to write into.
        root (str): Where the ``configs/`` that the new configs are made from lie.

    Returns:
        dict[str, Path]: ``arch``, ``weights`` (if any), ``retrain`` and ``detector`` (if the
        network has the stages that the detector takes).

    Raises:
        ValueError: If the architecture is unknown, or a config to build on is not one of
            ``configs/``.
        FileNotFoundError: If the checkpoint is missing.
        KeyError: If the checkpoint does not hold the architecture.
    """
    arch_value, space, about = resolve_arch(arch)
    if checkpoint is None and str(arch).endswith('.json'):
        checkpoint = latest_checkpoint(Path(arch).parent)
    return _export(arch_value, space, about, checkpoint, Path(out).resolve(), root)


def export_front(
    work_dir: str, checkpoint: str | None, out: str, *, root: str
) -> dict[str, dict[str, Path]]:
    """Export every path of a search's ``front.json``, each into a folder named by its cost.

    Args:
        work_dir (str): Of the search; holds ``front.json`` and ``best_arch.json``.
        checkpoint, out, root: As for :func:`export_arch`, ``out`` with one folder for each.

    Returns:
        dict[str, dict[str, Path]]: Files by the name of the folder, the cheapest first.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or as :func:`export_arch`.
    """
    cost, steps = read_steps(Path(work_dir, 'front.json'))
    answer, space, about = resolve_arch(str(Path(work_dir, 'best_arch.json')))
    checkpoint = checkpoint or latest_checkpoint(Path(work_dir))
    if checkpoint is None:
        raise FileNotFoundError(f'no checkpoint in {work_dir}: name the supernet with --checkpoint')
    files = {}
    for step in steps:
        arch = space.parse(step['arch'])
        name = f'{step["costs"][cost]:.5g}{cost.rpartition("_")[2]}'
        mine = dict(about, rating=step.get('rating') or {})
        if arch != answer:
            mine['choice'] = dict(about.get('choice') or {}, notes=[])  # of the answer alone
        files[name] = _export(arch, space, mine, checkpoint, Path(out, name).resolve(), root)
    return files


def _export(
    arch_value: Arch, space: MBConvSpace, about: dict, checkpoint, out: Path, root: str
) -> dict[str, Path]:
    detects = about.get('task') == DETECTION
    steps = {**DEFAULT_NEXT_STEPS, **(about.get('next_steps') or {})}
    bases = {key: _base_config(root, steps[key]) for key in ('retrain', 'detector')}
    weights = cut_path(load_weights(checkpoint), arch_value, space=space) if checkpoint else None
    size = about.get('input_size', [224, 224])
    if detects:  # its data, classes and batches are a detector's, and no classifier's
        costs = build_cost_model(space, size, head=None)
        of_a_detector = ('data_root', 'classes', 'batch_size', 'num_workers', 'input_size')
        classifier = {k: v for k, v in about.items() if k not in of_a_detector}
        classifier.update(num_classes=1000, head_channels=space.head_channels)
    else:
        num_classes = about.get('num_classes', 1000)
        if weights and 'head.classifier.bias' in weights:
            num_classes = len(weights['head.classifier.bias'])
        head_channels = about.get('head_channels', space.head_channels)
        about = dict(about, num_classes=num_classes, head_channels=head_channels, input_size=size)
        if len(about.get('classes') or []) > num_classes:
            about.pop('classes')  # of other weights
        costs = build_cost_model(space, size, num_classes, head_channels)
        classifier = about

    files = dict(arch=out / 'arch.json')
    write_json(files['arch'], {**about, **arch_content(arch_value, costs)})
    if weights:
        files['weights'] = out / 'weights.pth'
        meta = dict(arch=arch_value.to_list())
        if about.get('classes'):
            meta['dataset_meta'] = dict(classes=tuple(about['classes']))
        torch.save(dict(state_dict=weights, meta=meta), files['weights'])
    files['retrain'] = out / 'retrain.py'
    cfg = _retrain_config(read_config(bases['retrain'])[0], arch_value, space, classifier)
    _write_config(files['retrain'], cfg, f'Retrain {arch_value}.')
    cfg = read_config(bases['detector'])[0]
    if max(cfg.model.backbone.out_indices) >= len(space.stage_channels):
        return files
    files['detector'] = out / 'retinanet.py'
    cfg = _detector_config(cfg, arch_value, space, about, with_weights=bool(weights))
    _write_config(
        files['detector'],
        cfg,
        f'{arch_value} in a detector.\n'
        '# It starts from the weights of the supernet; better, name the retrained ones:\n'
        '#   --cfg-options model.backbone.init_cfg.checkpoint=FILE\n'
        '# A training takes the classes from its data. For inference open the config that it\n'
        '# writes into its work_dir, beside its checkpoints: this one does not know them.',
    )
    return files


def _base_config(root: str, step: str) -> str:
    """A config of the repository; links do not lead out of ``configs/``.

    Raises:
        ValueError: If there is no such file.
    """
    check_next_steps(dict(config=step))
    path, configs = Path(root, step).resolve(), Path(root, 'configs').resolve()
    if configs not in path.parents or not path.is_file():
        raise ValueError(
            f'next_steps names {step}, which is not a config below {configs}; put it there, or '
            'name another one in the .json'
        )
    return str(path)


# ---- the two configs -----------------------------------------------------------------------------


def _retrain_config(cfg: Config, arch: Arch, space: MBConvSpace, about: Mapping) -> Config:
    _take_over(cfg, about, ('data_root', 'num_classes', 'batch_size', 'num_workers'))
    cfg.pop('classes', None)
    if about.get('classes'):
        cfg.classes = tuple(about['classes'])
    if 'input_size' in cfg and 'input_size' in about:
        override(cfg, dict(input_size=about['input_size'][0]))
    _set_backbone(cfg, arch, space, about)
    cfg.model.head.update(
        in_channels=space.stage_channels[-1], hidden_channels=about['head_channels']
    )
    preprocessor = cfg.model.data_preprocessor
    if about.get('preprocess') is not None:
        new = dict(dict(mean=None, std=None), **about['preprocess'])
        _refill(cfg, _in_bgr(preprocessor, 'to_rgb'), _in_bgr(new, 'to_rgb'))
        preprocessor.update(new)
    folders = about.get('folders') or {}
    for side in ('train', 'val', 'test'):
        dataset = cfg[f'{side}_dataloader'].dataset
        folder = folders.get('train' if side == 'train' else 'val')
        if folder and folders.get('train') == folders.get('val'):  # there is none to validate on
            dataset.update(part='train' if side == 'train' else 'holdout', holdout='auto')
        if folder and (folder != 'train' or 'folder' in dataset):
            dataset.folder = folder
        if about.get('classes'):
            dataset.metainfo = dict(dataset.get('metainfo') or {}, classes=cfg.classes)
    for side in ('val', 'test'):
        evaluator = cfg.get(f'{side}_evaluator')
        if isinstance(evaluator, dict) and isinstance(evaluator.get('topk'), (list, tuple)):
            evaluator.topk = tuple(k for k in evaluator.topk if k <= about['num_classes'])
    return _ready(cfg, scope='mmpretrain')


def _detector_config(
    cfg: Config, arch: Arch, space: MBConvSpace, about: Mapping, *, with_weights: bool
) -> Config:
    keys = ('num_workers',)
    if about.get('task') == DETECTION:
        about = dict(about, num_classes=len(about.get('classes') or []) or None)
        keys = ('data_root', 'num_classes', 'batch_size', 'num_workers', 'scale')
    _take_over(cfg, about, keys)
    _set_backbone(cfg, arch, space, about)
    backbone, neck = cfg.model.backbone, cfg.model.neck
    backbone.pop('init_cfg', None)
    if with_weights:
        backbone.init_cfg = dict(type='Pretrained', checkpoint=WEIGHTS_BESIDE, prefix='backbone.')
    neck.in_channels = [space.stage_channels[i] for i in backbone.out_indices]
    if about.get('preprocess') is not None:
        new = dict(dict(mean=None, std=None, to_rgb=False), **about['preprocess'])
        new['bgr_to_rgb'] = new.pop('to_rgb')
        _refill(cfg, _in_bgr(cfg.model.data_preprocessor, 'bgr_to_rgb'), _in_bgr(new, 'bgr_to_rgb'))
        cfg.model.data_preprocessor.update(new)
    return _ready(cfg, scope='mmdet')


def _take_over(cfg: Config, about: Mapping, keys: tuple[str, ...]) -> None:
    """Values of the search, carried to every place that uses them."""
    options = {key: about[key] for key in keys if about.get(key) is not None and key in cfg}
    override(cfg, options)


def _set_backbone(cfg: Config, arch: Arch, space: MBConvSpace, about: Mapping) -> None:
    backbone = cfg.model.backbone
    backbone.arch = arch.to_list()
    # What the base config changes about the space, it changes for every architecture.
    backbone.space = {**space.to_dict(), **(backbone.get('space') or {})}
    norm_cfg = {**(backbone.get('norm_cfg') or {}), **(about.get('norm_cfg') or {})}
    if norm_cfg:
        backbone.norm_cfg = norm_cfg


def _in_bgr(preprocessor: Mapping, flag: str) -> tuple[list, list] | None:
    """Mean and deviation in the order of the loaded image, whose channels are BGR."""
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean is None or std is None:
        return None
    step = -1 if preprocessor.get(flag) else 1
    return list(mean)[::step], list(std)[::step]


def _refill(cfg: Config, old: tuple[list, list] | None, new: tuple[list, list] | None) -> None:
    """Augmentations fill with the mean: erased boxes, and what a rotation leaves empty."""
    if old is None:
        return
    mean, std = new or ([127.5] * 3, [58.0] * 3)
    rounded = [round(x) for x in old[0]]
    for node, key in entries(cfg._cfg_dict):
        value = node[key]
        value = list(value) if isinstance(value, (list, tuple)) else value
        if key in ('fill_color', 'pad_val') and value == old[0]:
            node[key] = mean
        elif key == 'pad_val' and value == rounded:
            node[key] = [round(x) for x in mean]
        elif key == 'fill_std' and value == old[1]:
            node[key] = std


def _ready(cfg: Config, *, scope: str) -> Config:
    """For any tool of OpenMMLab, not only those here."""
    if cfg.get('load_from') is None:
        cfg.pop('load_from', None)  # mmpretrain takes a None for weights
    for side in ('train', 'val', 'test'):
        if cfg[f'{side}_dataloader'].get('num_workers') == 0:
            cfg[f'{side}_dataloader'].persistent_workers = False  # torch refuses it without workers
    # Inferencers look for this name and put their own loading in its place.
    for node, key in list(entries(cfg.test_dataloader)):
        kind = node.get('type') if key == 'type' else None
        if kind == 'cream_mm.LoadImage':
            node.clear()
            node['type'] = 'cream_mm.LoadImageFromFile'
    if scope == 'mmpretrain':
        # Its inferencer builds the others in the scope of whoever was there before.
        for step in cfg.test_dataloader.dataset.pipeline:
            if '.' not in step.type:
                step.type = f'{scope}.{step.type}'
    return cfg


# ---- its text ------------------------------------------------------------------------------------


def _write_config(path: Path, cfg: Config, comment: str) -> None:
    """A config without a base, whose entries refer to its variables."""
    values = cfg._cfg_dict.to_dict()
    variables = {name: values[name] for name in USED_AS if values.get(name) is not None}

    def refer(node: Mapping, key: str) -> str | None:
        value = node[key]
        for name, top in variables.items():
            same = key in USED_AS[name] and type(value) is type(top) and value == top
            if same and not (key == 'end' and not node.get('by_epoch', True)):
                return name
        return None

    rest = {k: v for k, v in values.items() if k not in variables and k in KNOWN_KEYS}
    text = config_text({**variables, **rest}, refer)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f'# {comment}\n'
        '#\n'
        '#   python tools/train.py THIS_FILE --cfg-options data_root=FOLDER\n'
        '#\n'
        '# A value given with --cfg-options reaches every place that uses it.\n'
    )
    write_whole(path, f'{lines}{text}'.encode())
