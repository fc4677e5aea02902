"""Does today's code train as the code did that made an old record? The first 50 losses of both.

  git worktree add /tmp/old f22984c                       # where ranking.json was made
  python benchmarks/ranking/first_losses.py /tmp/old
  git -C /tmp/old checkout b6c3d2d                        # and dna.json
  python benchmarks/ranking/first_losses.py /tmp/old --methods teacher dna \\
      --teacher work_dirs/ranking/dna-0/teacher/epoch_7.pth

Begins the training of each record of run.py and dna.py in both checkouts, with the same Python and
one thread, and stops it after 50 steps: a minute each. An old record stands for today's code where
the losses of these steps agree to 1e-3. In single precision another order of a sum is enough to
drive two trainings apart within ten steps; --double makes both in double precision, where it takes
longer than 50 steps, and what is left is what the codes do. All blocks of `dna` learn from the maps
of one teacher, whichever seed: what is compared is the code. Results, of which none is made again:
docs/results/first_losses.json.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from mmengine.model import BaseModel
from mmengine.runner import Runner

FIRST = 50  # as in run.py, which old code may not have beside it
FORMAT = 'cream_mm.first_losses/1'
ALIKE = 1e-3  # nats
KEYS = ('method', 'seed', 'commit', 'precision')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('old', type=Path, help='checkout of the code that made the records')
    parser.add_argument('--methods', nargs='+', default=['spos', 'fairnas', 'cream'])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--teacher', type=Path, help='weights that the blocks of dna learn from')
    parser.add_argument('--double', action='store_true', help='in double precision')
    parser.add_argument('--data', type=Path, help='images at 16 pixels; default: data/cifar10_16')
    parser.add_argument('--records', type=Path)
    return parser.parse_args(argv)


def main(argv=None) -> None:
    from run import ROOT  # beside this file; with --only, the code is another's

    from cream_mm.files import write_json

    args = parse_args(argv)
    path = args.records or ROOT / 'docs/results/first_losses.json'
    content = json.loads(path.read_text()) if path.is_file() else dict(format=FORMAT, runs=[])
    commit = subprocess.run(
        ['git', '-C', str(args.old), 'rev-parse', '--short=7', 'HEAD'],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    data = (args.data or ROOT / 'data/cifar10_16').resolve()
    precision = 'double' if args.double else 'single'
    known = {tuple(run[key] for key in KEYS) for run in content['runs']}
    for seed in args.seeds:
        for method in args.methods:
            if (method, seed, commit, precision) in known:
                continue
            options = [f'randomness.seed={seed}', f'data_root={data}']
            if method == 'dna':
                weights = args.teacher.resolve()
                options.append(f'model.teacher.backbone.init_cfg.checkpoint={weights}')
            old, new = (
                first_losses(root, method, options, args.double) for root in (args.old, ROOT)
            )
            about = dict(method=method, seed=seed, commit=commit, precision=precision)
            record = dict(about, **compared(old, new))
            content['runs'].append(record)
            content['runs'].sort(key=lambda run: [run[key] for key in KEYS])
            write_json(path, content)
            print(method, seed, precision, max(record['differ']), flush=True)


def compared(old: list[dict], new: list[dict]) -> dict:
    """How far the losses of both codes are apart, all of a step's, in each of the first steps."""
    if len(old) != len(new) or any(a.keys() != b.keys() for a, b in zip(old, new)):
        raise ValueError(f'not the same losses: {sorted(old[0])}, {sorted(new[0])}')
    differ = [max(abs(a[name] - b[name]) for name in a) for a, b in zip(old, new)]
    return dict(
        steps=len(old),
        alike=max(differ) <= ALIKE,
        differ=[float(f'{value:.1e}') for value in differ],
        losses=[step['loss'] for step in new],
    )


def first_losses(
    root: Path, method: str, options: list[str], double: bool
) -> list[dict[str, float]]:
    """Of the first steps, by name, as the code in ``root`` makes them."""
    root = root.resolve()
    env = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'losses.json')
        config = root / f'configs/ranking/{method}.py'
        command = [sys.executable, __file__, '--only', str(int(double)), str(root), str(out),
                   str(config), '--work-dir', folder, '--cfg-options', *options]  # fmt: skip
        done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True)
        if done.returncode or not out.is_file():
            raise RuntimeError(f'{config} of {root} failed:\n{(done.stdout + done.stderr)[-2000:]}')
        return json.loads(out.read_text())


def train_only(double: str, root: str, out: str, *arguments: str) -> None:
    """tools/train.py of a checkout, which ends after the first steps."""
    parse, found = BaseModel.parse_losses, []

    def noted(self, losses):
        total, values = parse(self, losses)
        found.append({k: float(v) for k, v in values.items() if 'loss' in k})
        if len(found) == FIRST:
            import cream_mm

            assert Path(cream_mm.__file__).is_relative_to(root), cream_mm.__file__
            Path(out).write_text(json.dumps(found))
            os._exit(0)
        return total, values

    BaseModel.parse_losses = noted
    if int(double):
        wrap = Runner.wrap_model
        # The mean and deviation of the images become doubles as well, and with them the images.
        Runner.wrap_model = lambda self, cfg, model: wrap(self, cfg, model.double())
    sys.argv = ['tools/train.py', *arguments]
    sys.path[0] = f'{root}/tools'
    runpy.run_path(f'{root}/tools/train.py', run_name='__main__')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--only']:
        train_only(*sys.argv[2:])
    else:
        main()
