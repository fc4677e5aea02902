"""Turns a path of a supernet into a folder that others can use, wherever it lies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from ..checkpoints import load_checkpoint_file, load_weights
from ..checkpoints.whole_file import latest_checkpoint
from ..config.carry import read_config
from ..costs import build_cost_model
from ..files import some_of, write_json
from ..files.arch_file import DETECTION, arch_content, check_next_steps, network_of
from ..files.front_file import read_steps
from ..models.backbones import network_class, own_class
from ..models.backbones.published import published_nets
from ..models.backbones.published_weights import published_weights
from ..models.backbones.resolve_arch import resolve_arch
from ..models.supernets import cut_weights
from ..registry import kind_of
from ..spaces import Space
from ..structures import Arch
from .detector_config import read_detector
from .export_config import FULL_ABOVE, FULL_BESIDE, write_config
from .export_detector import DetectorFit, fit_default
from .export_retrain import fine_tune, fine_tunes, retrain_config
from .export_slice import Sliced, copy_full, places, slices_of

FROM_SCRATCH = (
    'no weights: those of this supernet mean nothing in the network ("weights_travel": false in '
    'its file). Train retrain.py from scratch'
)

NO_CLASSES = (
    'A training takes the classes from its data. For inference open the config that it',
    'writes into its work_dir, beside its checkpoints: this one does not know them.',
)

Say = Callable[[str], None]


def export_arch(
    arch: str,
    checkpoint: str | None,
    out: str,
    *,
    root: str,
    detector: str | None = None,
    space: Mapping | None = None,
    say: Say | None = None,
) -> dict[str, Path]:
    """Write architecture, weights and ready-to-run configs into one folder.

    The folder needs nothing outside it but cream_mm, and can be moved. Its configs hold all that a
    run needs, except that a detector's classes are those of the data that it is trained on: that
    run's own config, in its work_dir, has them.

    A slice of a full network (``slice_of`` in its file) has the batch norm statistics that are its
    own on training images, which the search's config in the work directory names. Its
    ``retrain.py`` starts from its weights and is distilled from the full network, ``full.pth``,
    which goes into the folder; that of a detector's search is the detector's config.

    Args:
        arch (str): A published name, ``best_arch.json``, a nested list, or as a benchmark writes
            it.
        checkpoint (str, optional): The supernet, or the name of the published network that ``arch``
            is, such as ``'lite0'``, for the weights of an installed package. Defaults to the newest
            checkpoint beside the JSON that is whole; without any, no weights are written. Nor are
            they where those of the supernet mean nothing in the network (``weights_travel``).
        out (str): Folder to write into.
        root (str): Where the ``configs/`` that the new configs are made from lie.
        detector (str, optional): A detector's config, any of mmdet's or the user's own, which is
            run as a config is; the new one has its file's name. Defaults to the one that the
            architecture's file names in ``next_steps``, which becomes ``retinanet.py``.
        space (dict, optional): Fields of the space that are to be others than the search's, such
            as ``dict(num_cells=6, channels=36)`` of cells. The weights of the supernet then are no
            longer those of the network, unless strides alone are others.
        say (Callable, optional): Called with each line on what of ``detector`` was left out, or
            changed beside its backbone, and on why there are no weights.

    Returns:
        dict[str, Path]: ``arch``, ``weights`` (if any), ``retrain``, ``detector`` (of
        ``next_steps``: if the network has the stages that it takes) and ``full`` (of a slice).

    Raises:
        ValueError: If the architecture is unknown, a config to build on is not one of
            ``configs/``, the network does not fit into ``detector``, a checkpoint is given of a
            supernet whose weights mean nothing in it, or ``space`` has no such field. Nothing is
            written then.
        FileNotFoundError: If the checkpoint or ``detector`` is missing.
        KeyError: If the checkpoint does not hold the architecture.
    """
    arch_value, its_space, about = resolve_arch(arch)
    if not about.get('weights_travel', True):
        _refuse_weights(checkpoint, str(arch))
        if say:
            say(FROM_SCRATCH)
    elif checkpoint is None and str(arch).endswith('.json'):
        checkpoint = latest_checkpoint(Path(arch).parent)
    arch_value, other, checkpoint = _in_space(arch_value, its_space, about, space, checkpoint, say)
    if other != its_space:
        about = _without_costs(about)  # of the search's networks
    out, sliced, full = Path(out).resolve(), None, None
    if about.get('slice_of'):
        network = arch_value, other, about
        folders = places(Path(arch).parent, checkpoint)
        full, (sliced,) = slices_of([network], checkpoint, folders, FULL_BESIDE, say)
    files = _export(arch_value, other, about, checkpoint, out, root, detector, say, sliced)
    return dict(files, full=copy_full(full, out)) if full else files


def export_front(
    work_dir: str,
    checkpoint: str | None,
    out: str,
    *,
    root: str,
    detector: str | None = None,
    space: Mapping | None = None,
    say: Say | None = None,
) -> dict[str, dict[str, Path]]:
    """Export every network of a search's ``front.json``, each into a folder named by its cost.

    Args:
        work_dir (str): Of the search; holds ``front.json`` and ``best_arch.json``.
        checkpoint, out, root, detector, space, say: As for :func:`export_arch`, ``out`` with one
            folder for each; what is said of all is said once.

    Returns:
        dict[str, dict[str, Path]]: Files by the name of the folder, the cheapest first. The full
        network of slices lies once, in ``out``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or as :func:`export_arch`.
    """
    cost, steps = read_steps(Path(work_dir, 'front.json'))
    path = str(Path(work_dir, 'best_arch.json'))
    answer, its_space, about = resolve_arch(path)
    said: dict[str, None] = {}
    lines = said.setdefault
    if not about.get('weights_travel', True):
        _refuse_weights(checkpoint, path)
        said[FROM_SCRATCH] = None
    else:
        checkpoint = checkpoint or latest_checkpoint(Path(work_dir))
        if checkpoint is None:
            raise FileNotFoundError(
                f'no checkpoint in {work_dir}: name the supernet with --checkpoint'
            )
    names = _folder_names([step['costs'][cost] for step in steps], cost.rpartition('_')[2])
    networks, sliced, full = [], [None] * len(steps), None
    for step, name in zip(steps, names):
        row = dict(step, space=step.get('space') or its_space.to_dict())
        arch, own = network_of(row, f'{Path(work_dir, "front.json")}: the step {name}')
        mine = {key: value for key, value in about.items() if key != 'slice_of'}
        mine.update(rating=step.get('rating') or {}, costs=step['costs'])
        mine.update({key: step[key] for key in ('input_size', 'slice_of') if step.get(key)})
        if (arch, own) != (answer, its_space):
            mine['choice'] = dict(about.get('choice') or {}, notes=[])  # of the answer alone
        arch, other, weights = _in_space(arch, own, mine, space, checkpoint, lines)
        if other != own:
            mine = _without_costs(mine)
        networks.append((arch, other, mine, weights))
    if networks and all(mine.get('slice_of') for _, _, mine, _ in networks):
        folders = places(Path(work_dir), checkpoint)
        every = [network[:3] for network in networks]
        full, sliced = slices_of(every, checkpoint, folders, FULL_ABOVE, lines)
    files = {
        name: _export(*network, Path(out, name).resolve(), root, detector, lines, mine)
        for name, network, mine in zip(names, networks, sliced)
    }
    if full:
        copy_full(full, Path(out).resolve())
    others = {path.parent.name for path in Path(out).glob('*/arch.json')} - set(names)
    if others:
        lines(
            f'{out} holds another export, {some_of(sorted(others))}, beside these networks: remove '
            f'what an earlier search left{", whose full.pth is replaced" if full else ""}'
        )
    for line in said if say else ():
        say(line)
    return files


def _in_space(
    arch: Arch,
    space: Space,
    about: Mapping,
    changes: Mapping | None,
    checkpoint: str | None,
    say: Say | None,
) -> tuple[Arch, Space, str | None]:
    """The same architecture in a space with other fields, and the checkpoint if it still fits.

    Raises:
        ValueError: If the space has no such field, or not such a value.
    """
    if not changes:
        return arch, space, checkpoint
    if about.get('slice_of'):
        raise ValueError('--space: this network is a slice of another one, at the scale of that')
    known = [key for key in space.to_dict() if key not in ('type', 'name')]
    if unknown := sorted(set(changes) - set(known)):
        raise ValueError(f'--space {unknown[0]}: a {type(space).__name__} has {", ".join(known)}')
    other = space.build({**space.to_dict(), **changes})
    other = other.of_network(arch := other.parse(arch))
    fits = other in (space, *space.with_other_strides())
    if checkpoint and not fits:
        if say:
            say(f'no weights: those of the search are of {_scale(space, changes)}')
        checkpoint = None
    return arch, other, checkpoint


def _without_costs(about: Mapping) -> dict:
    """Without what was said of the networks of another space."""
    return {k: v for k, v in about.items() if k not in ('budget', 'costs', 'latency')}


def _with_latency(content: dict, about: Mapping) -> dict:
    """With the time that the search knew: it is no count that the architecture tells."""
    time = (about.get('costs') or {}).get('latency_ms')
    if time is None:
        return {key: value for key, value in content.items() if key != 'latency'}
    return dict(content, costs=dict(content['costs'], latency_ms=time))


def _scale(space: Space, keys: Iterable[str]) -> str:
    """``num_cells=3, channels=20``"""
    return ', '.join(f'{key}={getattr(space, key)}' for key in keys)


def _refuse_weights(checkpoint: str | None, arch: str) -> None:
    """Of a supernet whose paths are no networks; weights of the network itself are welcome."""
    if checkpoint is not None and str(checkpoint) not in published_nets:
        raise ValueError(
            f'--checkpoint {checkpoint}: the weights of this supernet mean nothing in the network '
            f'("weights_travel": false in {arch}). Leave --checkpoint out, and train retrain.py of '
            'the export from scratch'
        )


def _folder_names(costs: Sequence[float], unit: str) -> list[str]:
    """Five digits of each cost, or as many as tell it from the others; equal costs are numbered.

    >>> _folder_names([5.00001, 5.00002, 7.5, 7.5], 'm')
    ['5.00001m', '5.00002m', '7.5m', '7.5m-2']
    """
    names = []
    for cost in costs:
        others = [other for other in costs if other != cost]
        digits = (d for d in range(5, 18) if f'{cost:.{d}g}' not in [f'{o:.{d}g}' for o in others])
        name = f'{cost:.{next(digits, 17)}g}{unit}'
        same = sum(other == cost for other in costs[: len(names)])
        names.append(f'{name}-{same + 1}' if same else name)
    return names


def _export(
    arch_value: Arch,
    space: Space,
    about: dict,
    checkpoint: str | None,
    out: Path,
    root: str,
    detector: str | None,
    say: Say | None,
    sliced: Sliced | None = None,
) -> dict[str, Path]:
    detects = about.get('task') == DETECTION
    network, notes = network_class(space), []
    bases = _bases(root, space, about, notes)
    larger = None if detects else _published_scale(bases['retrain'], space)
    target = out / _detector_name(detector, out)
    weights = sliced.weights if sliced else None
    if weights is None and checkpoint:
        weights = _weights(checkpoint, arch_value, space, about)
    size = about.get('input_size', network.images['input_size'])
    own_head = network.head_settings(arch_value, space)['hidden_channels']
    if detects:  # its data, classes and batches are a detector's, and no classifier's
        costs = build_cost_model(space, size, head=None)
        of_a_detector = ('data_root', 'classes', 'batch_size', 'num_workers', 'input_size')
        classifier = {k: v for k, v in about.items() if k not in of_a_detector}
        classifier.update(num_classes=1000, head_channels=own_head)
    else:
        num_classes = about.get('num_classes', 1000)
        if weights and 'head.classifier.bias' in weights:
            num_classes = len(weights['head.classifier.bias'])
        head_channels = about.get('head_channels', own_head)
        about = dict(about, num_classes=num_classes, head_channels=head_channels, input_size=size)
        if len(about.get('classes') or []) > num_classes:
            about.pop('classes')  # of other weights
        costs = build_cost_model(space, size, num_classes, head_channels)
        classifier = about

    if larger is not None:
        notes.append(_say_scale(arch_value, space, larger, about))
    with_weights = bool(weights)
    cfg, part = bases['detector'], 'model'
    fits = max(cfg.model.backbone.out_indices) < len(network.map_channels(arch_value, space))
    cfg = fit_default(cfg, arch_value, space, about, with_weights=with_weights) if fits else None
    if sliced and detects:  # it is trained as the detector that it was searched in
        retrain, cfg = cfg, None
    else:
        retrain = retrain_config(bases['retrain'], arch_value, space, classifier)
    if detector:
        fit = DetectorFit(read_detector(detector), target.name)
        cfg = fit.put(arch_value, space, about, with_weights=with_weights)
        part = fit.where
        notes += fit.notes

    files = dict(arch=out / 'arch.json')
    content = {**about, **arch_content(arch_value, costs)}
    write_json(files['arch'], _with_latency(content, about))
    if weights:
        files['weights'] = out / 'weights.pth'
        meta = dict(arch=arch_value.to_list())
        if about.get('classes'):
            meta['dataset_meta'] = dict(classes=tuple(about['classes']))
        torch.save(dict(state_dict=weights, meta=meta), files['weights'])
    elif _is_of_another(out / 'weights.pth', arch_value):
        (out / 'weights.pth').unlink()
        notes.append(f'{out / "weights.pth"} is removed: an earlier export, of another network')
    files['retrain'] = out / 'retrain.py'
    scratch = ['It starts from scratch: no weights of the supernet fit the network.']
    scratch = scratch if not about.get('weights_travel', True) and not weights else []
    name = space.spell(arch_value)
    start = scratch
    if sliced or fine_tunes(retrain):
        teacher = sliced.teacher if sliced else None
        start = [*scratch, *fine_tune(retrain, about, with_weights=with_weights, teacher=teacher)]
    if sliced and detects:
        start = [*start, *NO_CLASSES]
    write_config(files['retrain'], retrain, '\n'.join([f'Retrain {name}.', *start]))
    for note in notes if say else ():
        say(note)
    if cfg is None:
        return files
    files['detector'] = target
    lines = [f'{name} in {Path(detector).name if detector else "a detector"}.', *notes]
    if weights:
        lines += [
            'It starts from the weights of the supernet; better, name the retrained ones:',
            f'  --cfg-options {part}.backbone.init_cfg.checkpoint=FILE',
        ]
    elif scratch:
        init = f'{part}.backbone.init_cfg'
        lines += [
            *scratch,
            'Train retrain.py first, and name its checkpoint here:',
            f'  --cfg-options {init}.type=Pretrained {init}.prefix=backbone. \\',
            f'      {init}.checkpoint=FILE',
        ]
    lines += NO_CLASSES
    write_config(target, cfg, '\n'.join(lines), own=not detector)
    return files


def _bases(root: str, space: Space, about: Mapping, notes: list[str]) -> dict[str, Config]:
    """The configs of the repository that those of an export are made from.

    Args:
        notes (list[str]): Lines on those that cannot be are added.
    """
    network, bases = network_class(space), {}
    for key, own in network.next_steps.items():
        named = (about.get('next_steps') or {}).get(key)
        bases[key] = read_config(_base_config(root, named or own))[0]
        backbone = bases[key].model.backbone
        if named and own_class(backbone) is not network:
            notes.append(
                f'next_steps.{key}={named} is around {kind_of(backbone)}, and {space.name!r} is a '
                f'space of {network.__name__}: {own} is built on in its place'
            )
            bases[key] = read_config(_base_config(root, own))[0]
    return bases


def _weights(checkpoint: str, arch: Arch, space: Space, about: Mapping) -> dict[str, Tensor]:
    """Of the path of a supernet, or of a published network.

    Raises:
        ValueError: If that is another network.
    """
    if str(checkpoint) not in published_nets:
        return cut_weights(space, load_weights(checkpoint), arch, about=about)
    if published_nets[checkpoint].network() != (arch, space):
        raise ValueError(f'{arch} of {space.name!r} is not {checkpoint}, whose weights are named')
    return published_weights(checkpoint)


def _is_of_another(weights: Path, arch: Arch) -> bool:
    """Whether a file of weights is one that an export of another architecture wrote."""
    try:
        meta = load_checkpoint_file(weights).get('meta')
    except (OSError, ValueError):
        return False
    written = meta.get('arch') if isinstance(meta, dict) else None
    return isinstance(written, list) and written != arch.to_list()


def _detector_name(detector: str | None, out: Path) -> str:
    """Name of the file for a detector's config.

    Raises:
        ValueError: If that would be another file of the export, or the config itself.
    """
    if detector is None:
        return 'retinanet.py'
    name = Path(detector.rpartition('::')[2]).name
    if name == 'retrain.py':
        raise ValueError(
            f'{detector}: the export has a retrain.py of its own, for the classifier; give the '
            'detector config another name'
        )
    if Path(detector).resolve() == out / name:
        raise ValueError(f'{detector} would be overwritten by the export: name another --out')
    return name


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


def _published_scale(retrain: Mapping, space: Space) -> Space | None:
    """The space at the scale of the config that the retraining builds on, if it is another one.

    A config that names fields of the space at its top level, such as ``num_cells``, trains at a
    scale that was published for that; a search is done at a smaller one.
    """
    mine = space.to_dict()
    theirs = {key: retrain[key] for key in mine if key in retrain and key not in ('type', 'name')}
    if all(mine[key] == value for key, value in theirs.items()):
        return None
    return space.build({**mine, **theirs})


def _say_scale(arch: Arch, space: Space, other: Space, about: Mapping) -> str:
    """How large the network is, and how large one is trained as published."""
    told = []
    keys = [key for key, value in other.to_dict().items() if value != space.to_dict()[key]]
    for one in (space, other):
        costs = build_cost_model(
            one, about['input_size'], about['num_classes'], about['head_channels']
        )
        cost = costs.cost(arch).in_units()
        told.append(f'{cost["params_m"]:.3f} M params, {cost["macs_m"]:.1f} MMACs')
    options = ' '.join(f'{key}={getattr(other, key)}' for key in keys)
    return (
        f'the network has the scale of the search, {_scale(space, keys)} ({told[0]}); published '
        f'ones are trained at {_scale(other, keys)} ({told[1]}): export with --space {options}'
    )
