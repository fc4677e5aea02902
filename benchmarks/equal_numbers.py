"""Whether two commits compute the same: a search, an export, a retraining and a detector, seeded.

python benchmarks/equal_numbers.py --out work_dirs/equal_numbers.json
python benchmarks/equal_numbers.py --out work_dirs/now.json --like work_dirs/equal_numbers.json

The demo's configs with fewer epochs, on one thread: about two minutes. What is recorded: the
losses of every step, the board, all ratings, the answer, and a digest of the weights of every
checkpoint at the end. With --like the first difference from another record is printed, and the
exit code is 1 if there is one. Compare records of one machine only.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SEARCH_OPTIONS = ['max_epochs=5', 'train_cfg.val_interval=5', 'default_hooks.logger.interval=1']
RETRAIN_OPTIONS = ['max_epochs=2', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1']
DETECTOR_OPTIONS = ['max_epochs=1', 'train_cfg.val_interval=1', 'default_hooks.logger.interval=1']
NOT_NUMBERS = ('time', 'data_time', 'memory', 'stall', 'eta')


def run(folder: Path) -> dict:
    """Run everything into ``folder`` and return the record."""
    search, export = folder / 'search', folder / 'export'
    retrain, detector = folder / 'retrain', folder / 'retinanet'
    if not Path('data/digits').is_dir() or not Path('data/digit_scenes').is_dir():
        _python('tools/prepare_digits.py')
    _python('tools/train.py', 'configs/demo/search_digits.py', '--work-dir', search,
            '--cfg-options', *SEARCH_OPTIONS)  # fmt: skip
    _python('tools/export_arch.py', search / 'best_arch.json', '--out', export)
    _python('tools/train.py', 'configs/demo/retrain_digits.py', '--work-dir', retrain,
            '--cfg-options', f'model.backbone.arch={export}/arch.json',
            *RETRAIN_OPTIONS)  # fmt: skip
    _python('tools/train.py', 'configs/demo/retinanet_digits.py', '--work-dir', detector,
            '--cfg-options', *DETECTOR_OPTIONS, f'model.backbone.arch={export}/arch.json',
            f'model.backbone.init_cfg.checkpoint={retrain}/epoch_2.pth',
            f'test_evaluator.outfile_prefix={detector}/val')  # fmt: skip
    answer = json.loads((search / 'best_arch.json').read_text())
    return dict(
        search=_scalars(search),
        path_log=[json.loads(line) for line in _lines(search / 'path_log.jsonl')],
        ratings=[_without_key(line) for line in _lines(search / 'ratings.jsonl')],
        board=json.loads((search / 'board.json').read_text()),
        answer={key: answer[key] for key in ('arch', 'costs', 'rating', 'choice', 'budget')},
        retrain=_scalars(retrain),
        detector=_scalars(detector),
        weights={
            str(path.relative_to(folder)): weights_digest(path)
            for path in sorted(folder.rglob('*.pth'))
        },
    )


def weights_digest(path: Path) -> str:
    """SHA-256 of the names, shapes and bytes of a checkpoint's tensors, in order."""
    import torch

    state, sha = torch.load(path, map_location='cpu', weights_only=False), hashlib.sha256()
    state = state.get('state_dict', state)
    for name, value in state.items():
        sha.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        sha.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return sha.hexdigest()


def by_arch(record: dict) -> dict:
    """The record with its lists of rated paths as dictionaries."""
    board = dict(record['board'], rated=_keyed(record['board']['rated']))
    return dict(record, ratings=_keyed(record['ratings']), board=board)


def _keyed(rows: list[dict]) -> dict[str, dict]:
    return {str(row['arch']): row for row in rows}


def first_difference(one, other, place: str = '') -> str | None:
    """Where two records differ, with both values; None if they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key == 'notes':
                continue  # sentences
            if key not in one or key not in other:
                return f'{place}/{key} is in one record only'
            if found := first_difference(one[key], other[key], f'{place}/{key}'):
                return found
        return None
    if isinstance(one, list) and isinstance(other, list):
        for i, pair in enumerate(zip(one, other)):
            if found := first_difference(*pair, f'{place}/{i}'):
                return found
        return None if len(one) == len(other) else f'{place}: {len(one)} and {len(other)} entries'
    return None if one == other else f'{place}: {one} and {other}'


def _python(*args) -> None:
    env = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run(
        [sys.executable, *map(str, args)], env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(
            f'error: {" ".join(map(str, args))} failed:\n{(done.stdout + done.stderr)[-3000:]}'
        )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _without_key(line: str) -> dict:
    record = json.loads(line)
    record.pop('key')
    return record


def _scalars(work_dir: Path) -> list[dict]:
    """What was logged at every step, less what a clock says."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [
        {k: v for k, v in json.loads(line).items() if not k.endswith(NOT_NUMBERS)}
        for line in _lines(path)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='the record, JSON')
    parser.add_argument('--like', type=Path, help='a record to compare with')
    args = parser.parse_args()
    folder = args.out.with_suffix('')
    shutil.rmtree(folder, ignore_errors=True)
    record = run(folder)
    args.out.write_text(json.dumps(record) + '\n')
    numbers = sum(len(record[key]) for key in ('search', 'path_log', 'retrain', 'detector'))
    print(f'{numbers} steps, {len(record["ratings"])} ratings, {len(record["weights"])} weights')
    if args.like:
        theirs, ours = (by_arch(r) for r in (json.loads(args.like.read_text()), record))
        more = [arch for arch in ours['ratings'] if arch not in theirs['ratings']]
        for arch in more:  # rated beside what the other one rated
            del ours['ratings'][arch]
            ours['board']['rated'].pop(arch, None)
        found = first_difference(theirs, ours)
        print(f'differs: {found}' if found else f'equal to {args.like}')
        print(f'{len(more)} paths were rated beside those of {args.like}')
        sys.exit(found is not None)


if __name__ == '__main__':
    main()
