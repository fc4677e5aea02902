"""Trains random paths of a search alone, one after the other: the truth for a rank correlation."""

import csv
import ctypes
import io
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..command_words import own_command
from ..engine.work_dir_lock import hold_work_dir
from ..files import (
    Dropped,
    append_lines,
    mend_lines,
    read_csv,
    read_json,
    read_json_lines,
    set_aside,
    shorten,
    write_json,
    write_whole,
)
from ..files.answer_file import answer_content
from ..search import RandomSearch
from ..structures import Arch
from .export_arch import export_arch
from .open_search import search_config

QUEUE_FORMAT = 'cream_mm.queue/1'
HEADER = ('arch', 'accuracy', 'macs_m', 'params_m', 'epochs', 'run')


def train_paths(
    config: str,
    work_dir: str,
    *,
    root: str,
    num: int = 30,
    seed: int = 0,
    cfg_options: dict | None = None,
    train_options: Sequence[str] = (),
) -> Path:
    """Train networks drawn uniformly within the config's budget with the retraining it names.

    Writes ``queue.json``, and into ``accuracy.csv`` a line when a network has finished; goes on
    where an earlier call was killed.

    Args:
        config (str): Config of the search.
        work_dir (str): For all of them.
        root (str): The folder that holds ``configs/``.
        num (int): Networks. Defaults to 30.
        seed (int): Of the draws.
        cfg_options (dict, optional): Overrides of the search's config.
        train_options (Sequence[str]): ``KEY=VALUE``, overrides of the retraining's config.

    Returns:
        Path: ``accuracy.csv``.

    Raises:
        ValueError: If the config is no search of a classifier, the folder holds other trainings,
            or one of them fails.
    """
    folder = Path(work_dir)
    cfg = search_config(config, cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    if model.backbone.budget.cost_model.num_classes is None:
        raise ValueError(f'{config} searches for a detector; only classifiers are trained here')
    hold_work_dir(folder)
    archs = RandomSearch(model.backbone.space, model.backbone.budget, seed=seed).ask(num)
    settings = dict(
        config=config,
        seed=seed,
        cfg_options={k: str(v) for k, v in (cfg_options or {}).items()},
        train_options=list(train_options),
    )
    write_queue(folder, archs, settings)
    table = folder / 'accuracy.csv'
    finished = read_finished(table)
    for i, arch in enumerate(archs):
        text = f'[{i + 1}/{len(archs)}] {arch}'
        if str(arch) in finished:
            print(f'{text} was trained before', flush=True)
            continue
        print(f'{text}, log in {folder / f"{i:03d}" / "train.log"}', flush=True)
        next_steps = cfg.test_cfg.get('next_steps', {})
        answer = answer_content(model, arch, cfg, seed=seed, next_steps=next_steps)
        accuracy, epochs = train(folder / f'{i:03d}', answer, train_options, Path(root))
        costs = answer['costs']
        append(table, (arch, accuracy, costs['macs_m'], costs['params_m'], epochs, f'{i:03d}'))
        print(f'{text}: {accuracy:.2f} % after {epochs} epochs', flush=True)
    print(f'accuracies of {len(archs)} networks: {table}')
    return table


def write_queue(work_dir: Path, archs: Sequence[Arch], settings: dict) -> None:
    """Keep what is trained, and refuse to mix it with anything else."""
    path = work_dir / 'queue.json'
    settings = dict(settings, format=QUEUE_FORMAT)
    nested = [arch.to_list() for arch in archs]
    if os.path.lexists(path):
        old = read_json(path)
        before = old.pop('archs', None) if isinstance(old, dict) else None
        if not isinstance(before, list) or not all(isinstance(arch, list) for arch in before):
            raise ValueError(f'{path} is damaged: it lists no "archs". Remove it: what is trained '
                             'is taken from the folders beside it')  # fmt: skip
        if old != settings or nested[: len(before)] != before[: len(nested)]:
            raise ValueError(
                f'{path} holds other trainings: {shorten(str(old), 400)}, now {settings}. Name '
                'another --work-dir'
            )
        nested = max(nested, before, key=len)
    write_json(path, dict(settings, archs=nested))


def read_finished(table: Path) -> set[str]:
    """Networks with a whole line; what a kill cut off is removed.

    A line that is damaged is taken off, too: its network is read from its folder again.
    """
    if not os.path.lexists(table):
        return set()
    mend_lines(table)
    if table.stat().st_size == 0:
        return set()
    header, rows = read_csv(table)
    if tuple(header) != HEADER:
        raise ValueError(f'{table}, line 1: the header is not {",".join(HEADER)}. Remove the file: '
                         'what is trained is taken from the folders beside it')  # fmt: skip
    kept, dropped = [], Dropped()
    for where, row in rows:
        if _is_whole(row):
            kept.append(row)
        else:
            dropped.add(f'{where}: no {",".join(HEADER)} of a network')
    if dropped:
        print(f'note: {dropped}. The file as it was is {set_aside(table)}', flush=True)
        lines = [_csv_line(HEADER), *(_csv_line([row[key] for key in HEADER]) for row in kept)]
        write_whole(table, ''.join(f'{line}\n' for line in lines).encode())
    return {row['arch'] for row in kept}


def _is_whole(row: dict) -> bool:
    try:
        accuracy, *costs = (float(row[key]) for key in HEADER[1:4])
    except (KeyError, ValueError):
        return False
    return 0 <= accuracy <= 100 and all(0 < cost < math.inf for cost in costs) and len(row) == 6


def _csv_line(fields: Sequence) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='').writerow(fields)
    return text.getvalue()


def append(table: Path, row: Sequence) -> None:
    """Add a line; it is on the disk when this returns."""
    is_new = not table.is_file() or table.stat().st_size == 0
    append_lines(table, [*([_csv_line(HEADER)] if is_new else []), _csv_line(row)])


def train(folder: Path, answer: dict, options: Sequence[str], root: Path) -> tuple[float, int]:
    """Train one network, from its last checkpoint if there is one.

    Returns:
        tuple[float, int]: Top-1 on the validation set after the last epoch, in percent, and epochs.
    """
    write_json(folder / 'path.json', answer)
    config = export_arch(str(folder / 'path.json'), None, str(folder / 'export'), root=str(root))
    config, run = str(config['retrain']), folder / 'train'
    given = ['--cfg-options', *options] if options else []
    tool('train', config, '--work-dir', run, '--resume', *given, log=folder / 'train.log')
    epochs = Config.fromfile(str(run / Path(config).name)).train_cfg.max_epochs
    accuracy = last_accuracy(run, epochs)
    if accuracy is None:  # killed after the last checkpoint, before its validation
        last = (run / 'last_checkpoint').read_text().strip()
        test = folder / 'test'
        tool('test', config, last, '--work-dir', test, *given, log=folder / 'train.log')
        accuracy = read_json(sorted(test.glob('*/*.json'))[-1])['accuracy/top1']
    return accuracy, epochs


def last_accuracy(run: Path, epochs: int) -> float | None:
    """What the validation of the last epoch logged."""
    for path in run.glob('*/vis_data/scalars.json'):
        for _, record in read_json_lines(path, Dropped(), finite=False):
            if 'accuracy/top1' in record and record.get('step') == epochs:
                return record['accuracy/top1']
    return None


def tool(name: str, *args: object, log: Path) -> None:
    """Run a command of ours in a process of its own."""
    command = [*own_command(name), *map(str, args)]
    with open(log, 'ab') as file:
        done = subprocess.run(command, stdout=file, stderr=file, preexec_fn=die_with_parent)
    if done.returncode:
        tail = log.read_text(errors='replace').strip().splitlines()[-1:]
        raise ValueError(f'tools/{name}.py failed: {"".join(tail)} (log: {log})')


def die_with_parent() -> None:
    """Two runs in one folder would spoil it: when this process is killed, so is the training."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
