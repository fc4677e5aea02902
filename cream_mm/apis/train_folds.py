"""Trains a config once for each fold of its images, and sums up what was measured on them."""

import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scipy import stats

from ..command_words import own_command
from ..config import load_config
from ..engine.hooks.fold_hook import FOLD_FILE, FOLD_FORMAT
from ..engine.work_dir_lock import hold_work_dir, release_work_dir
from ..files import read_json, shorten, write_json
from .pool_folds import pool_folds
from .train_paths import die_with_parent

FORMAT = 'cream_mm.folds/1'


def train_folds(
    config: str,
    work_dir: str,
    folds: int,
    *,
    options: Mapping | None = None,
    words: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> Path:
    """Train ``WORK_DIR/fold_0``, ``fold_1``, ..., one after the other, each without its fold.

    Each is a run of ``tools/train.py``. A second call goes on with what is not done. Writes
    ``folds.json`` and prints a table of each metric; of a search, what :func:`pool_folds` does.

    Args:
        config (str): Config of a search or of any other training.
        work_dir (str): For all of them.
        folds (int): How many, 2 or more.
        options (Mapping, optional): Overrides of the config, to look at it here.
        words (Sequence[str]): The same as they were typed.
        flags (Sequence[str]): Other flags of ``tools/train.py``.

    Returns:
        Path: ``folds.json``.

    Raises:
        ValueError: If there are fewer than two folds, the folder holds other ones, or a training
            fails.
    """
    if folds < 2:
        raise ValueError(f'--folds is 2 or more; got {folds}')
    cfg = load_config(config, {**(options or {}), 'folds': folds, 'fold': 0})
    is_search = 'bn_dataset' in (cfg.get('test_cfg') or {})
    folder = Path(work_dir)
    hold_work_dir(folder)
    try:
        path = folder / 'folds.json'
        settings = dict(config=config, folds=folds, options=list(words), flags=list(flags))
        _check_same(path, settings)
        write_json(path, dict(format=FORMAT, settings=settings))
        for fold in range(folds):
            run = folder / f'fold_{fold}'
            if (run / ('best_arch.json' if is_search else FOLD_FILE)).is_file():
                print(f'fold {fold} of {folds} was trained before: {run}', flush=True)
                continue
            print(f'\n=== fold {fold} of {folds}: {run}', flush=True)
            command = [
                *own_command('train'),
                config,
                '--work-dir',
                str(run),
                '--resume',
                *flags,
                '--cfg-options',
                *words,
            ]
            command += [f'folds={folds}', f'fold={fold}']
            if subprocess.run(command, preexec_fn=die_with_parent).returncode:
                raise ValueError(
                    f'fold {fold} failed; its last lines above say why. The same command goes on '
                    'with it'
                )
        if is_search:
            print(f'\n=== the answers of all folds, rated by each: {folder}', flush=True)
            pool_folds(folder, folds)
            return path
        found = [read_fold(folder / f'fold_{fold}', folds, fold) for fold in range(folds)]
        summary = {name: summarise(found, name) for name in found[0]['metrics']}
        rows = [{key: one[key] for key in ('fold', 'num_images', 'metrics')} for one in found]
        write_json(path, dict(format=FORMAT, settings=settings, folds=rows, summary=summary))
        print('\n' + '\n'.join(table_lines(found, summary)))
        print(f'all of it: {path}', flush=True)
        return path
    finally:
        release_work_dir(folder)


def read_fold(run: Path, folds: int, fold: int) -> dict:
    """``fold.json`` of a training.

    Raises:
        OSError, ValueError: If it cannot be read, or is of another fold.
    """
    path = run / FOLD_FILE
    content = read_json(path)
    known = dict(format=FOLD_FORMAT, folds=folds, fold=fold)
    ok = isinstance(content, dict) and all(content.get(k) == v for k, v in known.items())
    metrics = content.get('metrics') if ok else None
    ok = isinstance(metrics, dict) and type(content.get('num_images')) is int
    if not ok or not all(type(value) in (int, float) for value in metrics.values()):
        raise ValueError(
            f'{path} is no result of fold {fold} of {folds}: {shorten(str(content))}. Remove it, '
            'and the same command writes it again'
        )
    return content


def summarise(found: Sequence[Mapping], name: str) -> dict[str, float]:
    """Mean of a metric over the folds, half of its 95 % interval, and the mean over all images.

    The interval is Student's, of as many values as there are folds. ``pooled`` weighs each fold by
    its images: of a share of images, such as top-1, it is that of all of them.
    """
    values = [one['metrics'][name] for one in found if name in one['metrics']]
    counts = [one['num_images'] for one in found if name in one['metrics']]
    number, mean = len(values), sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (number - 1)) if number > 1 else 0.0
    half = float(stats.t.ppf(0.975, number - 1)) * spread / math.sqrt(number) if number > 1 else 0.0
    pooled = sum(v * n for v, n in zip(values, counts)) / sum(counts)
    return dict(mean=mean, half_width=half, pooled=pooled)


def table_lines(found: Sequence[Mapping], summary: Mapping[str, Mapping]) -> list[str]:
    """A row per fold, the mean with its interval, and what is pooled, of the first metrics."""
    names = list(summary)[:4]
    width = {name: max(len(name), 16) for name in names}
    head = f'{"fold":>8}  {"images":>6}  ' + '  '.join(f'{n:>{width[n]}}' for n in names)
    lines = [head]
    for one in found:
        values = (f'{one["metrics"].get(n, math.nan):>{width[n]}.4g}' for n in names)
        lines.append(f'{one["fold"]:>8}  {one["num_images"]:>6}  ' + '  '.join(values))
    means = (f'{summary[n]["mean"]:.4g} +- {summary[n]["half_width"]:.2g}' for n in names)
    total = sum(one['num_images'] for one in found)
    lines.append(
        f'{"mean":>8}  {"":>6}  ' + '  '.join(f'{m:>{width[n]}}' for n, m in zip(names, means))
    )
    pooled = (f'{summary[n]["pooled"]:>{width[n]}.4g}' for n in names)
    lines.append(f'{"pooled":>8}  {total:>6}  ' + '  '.join(pooled))
    lines.append(
        f'+- is half of the 95 % interval of the mean (t, {len(found) - 1} degrees of freedom)'
    )
    return lines


def _check_same(path: Path, settings: dict) -> None:
    if not path.is_file():
        return
    content = read_json(path)
    before = content.get('settings') if isinstance(content, dict) else None
    if before != settings:
        raise ValueError(
            f'{path} holds other folds: {shorten(str(before), 300)}, now '
            f'{shorten(str(settings), 300)}. Name another --work-dir'
        )
