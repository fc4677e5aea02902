"""Are two runs the same, bit by bit?"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import load_checkpoint_file

# What may differ between two runs: times, places, names, and the commit in a version.
_TIMES = ('time', 'data_time', 'eta', 'memory')
_PLACES = ('last_ckpt', 'best_ckpt', 'cfg', 'experiment_name', 'mmengine_version')


def differences(ours: Any, theirs: Any, where: str = '') -> list[str]:
    """Where two nested contents differ; tensors and numbers are compared bit by bit."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f'{where}/{key}: only in one' for key in ours.keys() ^ theirs.keys()]
        for key in ours.keys() & theirs.keys():
            if str(key).split('/')[-1] not in _TIMES + _PLACES:
                found += differences(ours[key], theirs[key], f'{where}/{key}')
        return [text for text in found if text.split(':')[0].split('/')[-1] not in _TIMES]
    if isinstance(theirs, (list, tuple)) and type(ours) is type(theirs):
        if len(ours) != len(theirs):
            return [f'{where}: {len(ours)} and {len(theirs)} items']
        pairs = enumerate(zip(ours, theirs))
        return [text for i, (a, b) in pairs for text in differences(a, b, f'{where}/{i}')]
    if isinstance(theirs, Tensor) and isinstance(ours, Tensor):
        same = ours.dtype == theirs.dtype and torch.equal(ours.nan_to_num(), theirs.nan_to_num())
        return [] if same and torch.equal(ours.isnan(), theirs.isnan()) else [f'{where}: tensors']
    same = type(ours) is type(theirs) and (ours == theirs or ours != ours and theirs != theirs)
    return [] if same else [f'{where}: {ours!r} and {theirs!r}']


def logged_scalars(work_dir: str | Path) -> dict[tuple, set]:
    """(what, step, name) -> the values that any process of the run has logged for it."""
    logged = defaultdict(set)
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut by a kill; the step is logged again
            kind = 'train' if 'epoch' in record else 'val'
            for name, value in record.items():
                if name not in _TIMES:
                    logged[kind, record['step'], name].add(value)
    return dict(logged)


def run_differences(ours: str | Path, theirs: str | Path, checkpoint: str) -> list[str]:
    """Where two finished runs differ: a checkpoint, the logs, the answer, the ratings.

    Args:
        ours, theirs (str | Path): Their work_dirs.
        checkpoint (str): Name of the checkpoint to compare, the last one.
    """
    ours, theirs = Path(ours), Path(theirs)
    contents = [load_checkpoint_file(folder / checkpoint) for folder in (ours, theirs)]
    for content in contents:
        content['meta'] = {k: content['meta'][k] for k in ('epoch', 'iter', 'seed')}
    found = differences(*contents, checkpoint)
    found += differences(logged_scalars(ours), logged_scalars(theirs), 'log')
    for name in ('path_log.jsonl', 'board.json', 'best_arch.json', 'ratings.jsonl'):
        texts = [p.read_text() if p.is_file() else None for p in (ours / name, theirs / name)]
        if texts[0] != texts[1]:
            found.append(f'{name}: differs')
    kept = [sorted(p.name for p in folder.glob('*.pth*')) for folder in (ours, theirs)]
    if kept[0] != kept[1]:
        found.append(f'checkpoints: {kept[0]} and {kept[1]}')
    return found
