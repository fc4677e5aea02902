"""Train random paths of a search alone, from scratch: the ground truth for a rank correlation.

  python tools/train_paths.py configs/cream/search_imagenet.py --work-dir work_dirs/paths \\
      --num 30 --train-options max_epochs=30
  python tools/rank_correlation.py configs/cream/search_imagenet.py SUPERNET.pth \\
      work_dirs/paths/accuracy.csv

The networks are drawn uniformly within the config's budget and trained one after the other with
the retraining that the config names, as after tools/export_arch.py. queue.json lists them, and
accuracy.csv gets a line when one has finished. The same command after a kill goes on with the
checkpoint of the network that was being trained; with a larger --num it adds networks.
Give both commands the same --cfg-options.
"""

import argparse
import csv
import ctypes
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope

from cream_mm.arch_file import read_json
from cream_mm.config import load_config
from cream_mm.engine.loops.board_rating_loop import answer_content
from cream_mm.engine.work_dir_lock import hold_work_dir
from cream_mm.export import export_arch
from cream_mm.search import RandomSearch
from cream_mm.utils import clear_errors, write_json

ROOT = Path(__file__).resolve().parents[1]
QUEUE_FORMAT = 'cream_mm.queue/1'
HEADER = ('arch', 'accuracy', 'macs_m', 'params_m', 'epochs', 'run')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the search')
    parser.add_argument('--num', type=int, default=30, help='networks (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the draws')
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help="override the search's config, e.g. data_root=DIR")  # fmt: skip
    parser.add_argument('--train-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help="override the retraining's config, e.g. max_epochs=30")  # fmt: skip
    return parser.parse_args(argv)


def main(argv=None) -> None:
    args = parse_args(argv)
    work_dir = Path(args.work_dir)
    cfg = load_config(args.config, args.cfg_options)
    if not str((cfg.get('test_cfg') or {}).get('type', '')).endswith('BoardRatingLoop'):
        raise ValueError(f'{args.config} is not the config of a search: it has no BoardRatingLoop')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    hold_work_dir(work_dir)
    archs = RandomSearch(model.backbone.space, model.budget, seed=args.seed).ask(args.num)
    write_queue(args, work_dir, archs)
    table = work_dir / 'accuracy.csv'
    finished = read_finished(table)
    for i, arch in enumerate(archs):
        text = f'[{i + 1}/{len(archs)}] {arch}'
        if str(arch) in finished:
            print(f'{text} was trained before', flush=True)
            continue
        print(f'{text}, log in {work_dir / f"{i:03d}" / "train.log"}', flush=True)
        answer = answer_content(
            model, arch, cfg, seed=args.seed, next_steps=cfg.test_cfg.get('next_steps', {})
        )
        accuracy, epochs = train(work_dir / f'{i:03d}', answer, args.train_options)
        costs = answer['costs']
        append(table, (arch, accuracy, costs['macs_m'], costs['params_m'], epochs, f'{i:03d}'))
        print(f'{text}: {accuracy:.2f} % after {epochs} epochs', flush=True)
    print(f'accuracies of {len(archs)} networks: {table}')


def write_queue(args, work_dir: Path, archs: list) -> None:
    """Keep what is trained, and refuse to mix it with anything else."""
    path = work_dir / 'queue.json'
    settings = dict(
        format=QUEUE_FORMAT,
        config=args.config,
        seed=args.seed,
        cfg_options={k: str(v) for k, v in (args.cfg_options or {}).items()},
        train_options=args.train_options,
    )
    nested = [arch.to_list() for arch in archs]
    if path.is_file():
        old = read_json(path)
        before = old.pop('archs')
        if old != settings or nested[: len(before)] != before[: len(nested)]:
            raise ValueError(
                f'{work_dir} holds other trainings: {old}, now {settings}. Name another --work-dir'
            )
        nested = max(nested, before, key=len)
    write_json(path, dict(settings, archs=nested))


def read_finished(table: Path) -> set[str]:
    """Networks with a whole line; what a kill cut off is removed."""
    if not table.is_file():
        return set()
    content = table.read_bytes()
    whole = content.rfind(b'\n') + 1
    if whole < len(content):
        os.truncate(table, whole)
    return {row['arch'] for row in csv.DictReader(io.StringIO(content[:whole].decode()))}


def append(table: Path, row: tuple) -> None:
    """Add a line; it is on the disk when this returns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    if not table.is_file() or table.stat().st_size == 0:
        writer.writerow(HEADER)
    writer.writerow(row)
    with open(table, 'ab') as file:
        file.write(text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def train(folder: Path, answer: dict, options: list[str]) -> tuple[float, int]:
    """Train one network, from its last checkpoint if there is one.

    Returns:
        tuple[float, int]: Top-1 on the validation set after the last epoch, in percent, and epochs.
    """
    write_json(folder / 'path.json', answer)
    config = export_arch(str(folder / 'path.json'), None, str(folder / 'export'), root=str(ROOT))
    config, run = str(config['retrain']), folder / 'train'
    given = ['--cfg-options', *options] if options else []
    tool('train.py', config, '--work-dir', run, '--resume', *given, log=folder / 'train.log')
    epochs = Config.fromfile(str(run / Path(config).name)).train_cfg.max_epochs
    accuracy = last_accuracy(run, epochs)
    if accuracy is None:  # killed after the last checkpoint, before its validation
        last = (run / 'last_checkpoint').read_text().strip()
        test = folder / 'test'
        tool('test.py', config, last, '--work-dir', test, *given, log=folder / 'train.log')
        results = [json.loads(p.read_text()) for p in sorted(test.glob('*/*.json'))]
        accuracy = results[-1]['accuracy/top1']
    return accuracy, epochs


def last_accuracy(run: Path, epochs: int) -> float | None:
    """What the validation of the last epoch logged."""
    for path in run.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut by a kill
            if 'accuracy/top1' in record and record.get('step') == epochs:
                return record['accuracy/top1']
    return None


def tool(name: str, *args, log: Path) -> None:
    command = [sys.executable, str(ROOT / 'tools' / name), *map(str, args)]
    with open(log, 'ab') as file:
        done = subprocess.run(command, stdout=file, stderr=file, preexec_fn=_die_with_parent)
    if done.returncode:
        tail = log.read_text(errors='replace').strip().splitlines()[-1:]
        raise ValueError(f'tools/{name} failed: {"".join(tail)} (log: {log})')


def _die_with_parent() -> None:
    """Two runs in one folder would spoil it: when this process is killed, so is the training."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


if __name__ == '__main__':
    with clear_errors():
        main()
