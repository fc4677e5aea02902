"""Ranks NAS-Bench-Macro with supernets trained in different ways, and compares them.

  python benchmarks/ranking/run.py                        # 36 runs on 2 CPU cores, see --jobs
  python benchmarks/ranking/run.py --methods spos cream --seeds 0
  python benchmarks/ranking/run.py --setting gpu          # 32 x 32 pixels, 50 epochs, one GPU
  python benchmarks/ranking/run.py --report               # tables and figures of the records alone

Each run trains configs/ranking/METHOD.py with `tools/train.py` and rates at least 500 of the 3969
networks with `tools/rank_correlation.py`; both go on where they were killed. When a run ends, its
record is written to docs/results/ranking.json, and a run that stands there is not made again, so
the whole can be spread over several sittings. From the records come the tables in
docs/results/ranking.md, between the marks, and docs/results/ranking.png.

Needs data/cifar10 with train/<class>/*.jpg and test/<class>/*.jpg, and
data/nas-bench-macro_cifar10.json; smaller copies of the images are made beside them.
"""

import argparse
import concurrent.futures
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from mmengine.config import Config
from report import SCORES, write_report  # beside this file

from cream_mm.command_line import one_line_errors
from cream_mm.evaluation import correlation
from cream_mm.files import PATH_LOG, write_json
from cream_mm.search import MainEffects, training_effects
from cream_mm.spaces import MBConvSpace

ROOT = Path(__file__).resolve().parents[2]
FORMAT = 'cream_mm.ranking/1'
SEEDS = dict(
    spos=6, fairnas=6, cream=3, fair_cream=6, nao=6, nao_uniform=6, cream_best=1, cream_random=1,
    cream_nearest=1,
)  # fmt: skip  # of the whole
FIRST = 50  # losses of a run by which another one is known to be the same
RENAMED = dict(cream_fixed='cream_best')  # methods in records of version 0.1
LARGEST_M = 105.660928  # MMACs of the costliest network of the table, 92.95 % accurate
CURVE_SEED = 2  # whose every checkpoint is rated, for tau against images seen
# What differs between the settings; the rest is in configs/ranking.
SETTINGS = dict(
    cpu=dict(size=16, jobs=2, num=500, curve_num=150, options=[]),
    gpu=dict(
        size=32, jobs=1, num=500, curve_num=500,
        options=['input_size=32', 'max_epochs=50', 'train_dataloader.dataset.pipeline.1.padding=4',
                 'train_dataloader.num_workers=12', 'train_dataloader.persistent_workers=True',
                 'default_hooks.checkpoint.interval=10'],
    ),
)  # fmt: skip


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--setting', choices=SETTINGS, default='cpu')
    parser.add_argument('--methods', nargs='+', choices=SEEDS, default=list(SEEDS))
    parser.add_argument('--seeds', type=int, nargs='+', help='default: 0 to 5, 0 1 2 of cream, 0 '
                        'of its variants')  # fmt: skip
    parser.add_argument('--jobs', type=int, help='runs at a time, one thread each on a CPU')
    parser.add_argument('--data', type=Path, default=ROOT / 'data', help='default: data/')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/ranking')
    parser.add_argument('--records', type=Path, default=ROOT / 'docs/results/ranking.json')
    parser.add_argument('--report', action='store_true', help='run nothing')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='for every run; give another --records with it')  # fmt: skip
    return parser.parse_args(argv)


def main(argv=None) -> None:
    args = parse_args(argv)
    records = Records(args.records)
    if not args.report:
        runs = list_runs(args)
        missing = [run for run in runs if not records.has(run)]
        print(f'{len(runs) - len(missing)} of {len(runs)} runs are in {args.records}')
        if missing:
            prepare(args)
            run_all(missing, args, records)
        complete(records, args)
    write_report(records.all(), args.records)


def list_runs(args) -> list[dict]:
    """Seed by seed, so that every method has a record early."""
    seeds = args.seeds if args.seeds is not None else range(max(SEEDS.values()))
    return [
        dict(setting=args.setting, method=method, seed=seed)
        for seed in seeds
        for method in args.methods
        # How many images nao_uniform sees was made out for 16 pixels on a CPU.
        if (args.setting, method) != ('gpu', 'nao_uniform')
        and (args.seeds is not None or seed < SEEDS[method])
    ]


def prepare(args) -> None:
    """The images at the size of the setting, once."""
    if not (args.data / 'nas-bench-macro_cifar10.json').is_file():
        raise FileNotFoundError(f'no {args.data / "nas-bench-macro_cifar10.json"}; see --help')
    folder, source = image_folder(args), args.data / 'cifar10'
    if (folder / 'test').is_dir():
        return
    if not (source / 'train').is_dir():
        raise FileNotFoundError(f'no {source / "train"}; see --help')
    tool = [sys.executable, str(ROOT / 'tools/prepare_images.py'), str(source), str(folder)]
    size = [] if folder.name.endswith('_32') else ['--size', str(SETTINGS[args.setting]['size'])]
    subprocess.run([*tool, *size, '--pack'], check=True, stdout=subprocess.DEVNULL)


def image_folder(args) -> Path:
    return args.data / f'cifar10_{SETTINGS[args.setting]["size"]}'


def run_all(runs, args, records) -> None:
    jobs = args.jobs or SETTINGS[args.setting]['jobs']
    start, done = time.time(), 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_one, run, args, jobs): run for run in runs}
        for future in concurrent.futures.as_completed(futures):
            record = future.result()
            records.add(record)
            done += 1
            eta = (time.time() - start) / done * (len(runs) - done) / 60
            tau = record['subsets']['all']['score']['kendall']['value']
            print(f'[{done}/{len(runs)}] {record["method"]} seed {record["seed"]}: tau {tau:.3f}  '
                  f'eta: {eta:.0f} min', flush=True)  # fmt: skip


def complete(records: 'Records', args) -> None:
    """What records of before lack, as far as the work directories of their runs are there."""
    for record in records.all():
        name = f'{record["setting"]}-{record["method"]}-{record["seed"]}'
        ratings = sorted((args.work_dir / name).glob('rank_*/rank_correlation.json'))
        if 'effects' not in record and ratings:
            last = max(ratings, key=lambda path: int(path.parent.name.split('_')[-1]))
            points = json.loads(last.read_text())['points']
            found = dict(largest_third=of_largest_third(points))
            records.add(dict(record, **found, effects=effects_of_log(args.work_dir / name)))


def run_one(run: dict, args, jobs: int) -> dict:
    """Train, rate the last checkpoint, and for CURVE_SEED the earlier ones too."""
    setting = SETTINGS[run['setting']]
    config = str(ROOT / f'configs/ranking/{run["method"]}.py')
    folder = args.work_dir / f'{run["setting"]}-{run["method"]}-{run["seed"]}'
    options = [f'data_root={image_folder(args)}', *setting['options'], *args.cfg_options]

    def call(tool, *rest):
        command = [str(ROOT / 'tools' / tool), *map(str, rest), '--cfg-options', *options]
        run_tool(command, folder, one_thread=jobs > 1)

    options.append(f'randomness.seed={run["seed"]}')
    cfg_file = folder / f'{run["method"]}.py'
    epochs = None
    if cfg_file.is_file():
        epochs = Config.fromfile(cfg_file).max_epochs
    if epochs is None or not (folder / f'epoch_{epochs}.pth').is_file():
        call('train.py', config, '--work-dir', folder, '--resume')
        epochs = Config.fromfile(cfg_file).max_epochs

    checkpoints = sorted(folder.glob('epoch_*.pth'), key=lambda p: int(p.stem.split('_')[1]))
    times, results = step_times(folder), {}
    for path in checkpoints if run['seed'] == CURVE_SEED else checkpoints[-1:]:
        last = path == checkpoints[-1]
        out = folder / f'rank_{path.stem}'
        if not (out / 'rank_correlation.json').is_file():
            call(
                'rank_correlation.py', config, path, args.data / 'nas-bench-macro_cifar10.json',
                '--num', setting['num' if last else 'curve_num'], '--above', 90, 92,
                '--without', 'identity', '--budgets', 0.8 * LARGEST_M, '--out', out,
                '--resamples', 1000 if last else 100, '--no-naswot',  # naswot.py has it of all
            )  # fmt: skip
        results[path.stem] = json.loads((out / 'rank_correlation.json').read_text())
    final = results[checkpoints[-1].stem]
    images = times['images']
    return dict(
        run,
        images_seen=images,
        train_s=round(times['seconds'], 1),
        usage=read_usage(folder),
        first_losses=first_losses(folder / PATH_LOG),
        train_loss=epoch_losses(folder / PATH_LOG, epochs),
        # How far paths differ in training loss by the fit, and what one step's loss misses of it.
        path_spread=statistics.pstdev(point['score'] for point in final['points']),
        step_error=final['training_loo_error'],
        rated=final['num'],
        rated_images=final['num_images'],
        bn_policy=final['bn_policy'],
        threads=1 if jobs > 1 else None,
        subsets=final['subsets'],
        largest_third=of_largest_third(final['points']),
        effects=effects_of_log(folder),
        regret=final['regret'],
        by_depth=by_depth(final['points']),
        curve=[
            dict(
                images_seen=round(images * int(stem.split('_')[1]) / epochs),
                rated=content['num'],
                **{
                    name: {
                        subset: content['subsets'][subset][name]['kendall']['value']
                        for subset in content['subsets']
                    }
                    for name in (*SCORES, 'macs')
                },
            )
            for stem, content in results.items()
        ],
    )


def run_tool(command: list[str], folder: Path, one_thread: bool = True) -> None:
    """Run a tool: what it prints goes into ``folder``, and its usage, see :func:`read_usage`.

    Raises:
        RuntimeError: If it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ)
    if one_thread:
        env.update(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
    with open(folder / 'output.txt', 'a') as out:
        done = subprocess.Popen(
            [sys.executable, *command], env=env, stdout=out, stderr=out, cwd=ROOT
        )
        _, status, usage = os.wait4(done.pid, 0)
        done.returncode = os.waitstatus_to_exitcode(status)
    add_usage(folder / f'usage_{Path(command[0]).stem}.json', usage)
    if done.returncode:
        raise RuntimeError(f'{Path(command[0]).name} failed; see {folder / "output.txt"}')


def add_usage(path: Path, usage: resource.struct_rusage) -> None:
    """CPU seconds of a tool, the start and its data workers included, and its peak memory.

    What was killed counts, too: its seconds were spent.
    """
    before = json.loads(path.read_text()) if path.is_file() else dict(cpu_s=0.0, peak_mb=0.0)
    write_json(
        path,
        dict(
            cpu_s=round(before['cpu_s'] + usage.ru_utime + usage.ru_stime, 1),
            peak_mb=round(max(before['peak_mb'], usage.ru_maxrss / 1024), 1),  # Linux: in KiB
        ),
    )


def read_usage(folder: Path) -> dict[str, dict[str, float]]:
    """By tool, ``cpu_s`` and ``peak_mb`` of what ran in a folder; see :func:`add_usage`."""
    return {
        path.stem.removeprefix('usage_'): json.loads(path.read_text())
        for path in sorted(folder.glob('usage_*.json'))
    }


def first_losses(path: Path) -> list[float]:
    """Of the first steps, in nats."""
    lines = path.read_text().splitlines()[:FIRST]
    return [round(json.loads(line)['loss'], 5) for line in lines]


def epoch_losses(path: Path, epochs: int) -> list[float]:
    """Mean classification loss of the steps of each epoch, in nats."""
    losses = [json.loads(line)['loss'] for line in path.read_text().splitlines()]
    length = len(losses) / epochs
    parts = [losses[round(i * length) : round((i + 1) * length)] for i in range(epochs)]
    return [round(sum(part) / len(part), 4) for part in parts]


def of_largest_third(points: list[dict]) -> dict:
    """Kendall's tau-b by each score among the third of the rated networks with the most MACs."""
    points = sorted(points, key=lambda point: -point['macs_m'])[: len(points) // 3]
    truth = np.array([point['accuracy'] for point in points])
    columns = {name: np.array([point[name] for point in points]) for name in (*SCORES, 'macs_m')}
    return dict(
        num=len(points),
        least_macs_m=points[-1]['macs_m'],
        **{name: round(correlation(v, truth)['kendall'], 6) for name, v in columns.items()},
    )


def effects_of_log(folder: Path) -> dict[str, float]:
    """Training effects of a run; see :func:`weights_of`."""
    space = MBConvSpace.build('nas_bench_macro')
    return weights_of(training_effects(folder / PATH_LOG, space))


def weights_of(effects: MainEffects) -> dict[str, float]:
    """What 'stage.layer.choice' adds, less the mean of that layer's choices."""
    return {'.'.join(map(str, key)): round(w, 6) for key, w in effects.effects().items()}


def by_depth(points: list[dict]) -> list[dict]:
    """Means over the networks with as many layers that are no identity (choice 0)."""
    groups: dict[int, list[dict]] = {}
    for point in points:
        depth = sum(choice > 0 for stage in point['arch'][1:-1] for choice in stage)
        groups.setdefault(depth, []).append(point)
    return [
        dict(
            layers=depth,
            num=len(group),
            loss=-sum(p['loss'] for p in group) / len(group),
            accuracy=sum(p['accuracy'] for p in group) / len(group),
        )
        for depth, group in sorted(groups.items())
    ]


def step_times(folder: Path) -> dict:
    """Time of all training steps by the log, whatever was interrupted; and the images of them."""
    rows = {}
    for log in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            row = json.loads(line)
            if 'loss_cls' in row and 'time' in row:
                rows[row['step']] = row['time']
    total = len((folder / PATH_LOG).read_text().splitlines())
    rows[total] = rows[max(rows)]  # the last steps are in no line of the log
    steps = sorted(rows)
    widths = [b - a for a, b in zip([0, *steps], steps)]
    cfg = Config.fromfile(next(folder.glob('*.py')))
    seconds = sum(w * rows[s] for w, s in zip(widths, steps))
    return dict(seconds=seconds, images=total * cfg.train_dataloader.batch_size)


class Records:
    """The file of records; one a (setting, method, seed)."""

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.Lock()
        self._known = {}
        self._read()

    def _read(self) -> None:
        path = self.path
        if path.is_file():
            content = json.loads(path.read_text())
            if content.get('format') != FORMAT:
                raise ValueError(f'{path} is not of format {FORMAT}')
            runs = [dict(r, method=RENAMED.get(r['method'], r['method'])) for r in content['runs']]
            self._known = {self._key(r): r for r in runs}

    @staticmethod
    def _key(run):
        return run['setting'], run['method'], run['seed']

    def has(self, run) -> bool:
        return self._key(run) in self._known

    def all(self) -> list[dict]:
        order = list(SEEDS)
        return sorted(
            self._known.values(), key=lambda r: (r['setting'], order.index(r['method']), r['seed'])
        )

    def add(self, record: dict) -> None:
        with self._lock:
            self._read()  # another process may have added its own meanwhile
            self._known[self._key(record)] = record
            write_json(self.path, dict(format=FORMAT, runs=self.all()))


if __name__ == '__main__':
    with one_line_errors():
        main()
