"""Kills a small search at random moments, resumes it, and compares it with the whole run.

  python benchmarks/kill_resume.py 100
  python benchmarks/kill_resume.py 3 --seed 7 --workers 2 --mode official --folder /tmp/kills

A search of three epochs on generated images is run once to its end. Then it is run again and killed
(SIGKILL) N times on the way, each time at another moment: at any time, in the middle of writing a
file or of adding lines to one, between writing and renaming it, and while paths are rated; after
each kill it is resumed with `tools/train.py CONFIG --resume`. What the runs leave behind must be
equal bit by bit: weights, board, optimizers, schedules, log history, logged numbers,
path_log.jsonl, ratings, best_arch.json. No path may be rated twice. A run that ends before its next
kill is begun again, until N kills were made.

With `--mode close` it is a search of cells whose banks begin at its second epoch, two at once, with
a restart, and at its third.

About 5 s a kill on one CPU core. Each process is forked from this one, which has imported
everything but has computed nothing yet.
"""

import argparse
import json
import os
import random
import runpy
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
_base_ = {base!r}
model = dict(backbone=dict(out_indices=(3,), space=dict(
    _delete_=True, depths=(2, 2), choices=((3, 4), (5, 6)), widths=(16, 24), strides=(2, 1),
    stem_channels=8, stem_stride=1, final_channels=32,
)), head=dict(in_channels=32, hidden_channels=16, dropout=0.2),
board=dict(capacity=3, num_images=2))
train_cfg = dict(val_interval=1, sampler=dict(op_prob=None))
test_cfg = dict(num_random=4, num_bn_images=16)
default_hooks = dict(logger=dict(interval=2))
"""
CLOSE = """
_base_ = {base!r}
model = dict(backbone=dict(
    space=dict(channels=4, num_cells=1),
    router=dict(op_dim=4, node_dim=4, hidden_dim=8, gcn_dims=(8, 8), mlp_dims=(8, 8)),
), head=dict(in_channels=16))
param_scheduler = [dict(type='cream_mm.TrainLossPlateauLR', patience=0, threshold=0.5)]
test_cfg = dict(num=4, strategy=dict(population=2, tournament=2), num_random=4)
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(interval=1))
"""
CLOSE_OPTIONS = [
    'batch_size=4',
    'input_size=16',
    'max_epochs=3',
    'train_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
]
OPTIONS = ['batch_size=4', 'input_size=16', 'max_epochs=3', 'budget.macs_m=[0,100]',
           'custom_hooks.0.warmup=0.3', 'custom_hooks.1.interval=2', 'custom_hooks.1.num_images=2',
           'test_dataloader.num_workers=0', 'val_dataloader.batch_size=8',
           'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False']  # fmt: skip
LAST = 'epoch_3.pth'
MOMENTS = ('any time', 'half a file', 'before the rename', 'after the rename', 'rating')


def main(argv=None) -> int:
    """Returns how many comparisons failed."""
    args = parse_args(argv)
    rng = random.Random(args.seed)
    folder = Path(args.folder or tempfile.mkdtemp(prefix='kill_resume-'))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    bench = Bench(folder, args.mode, args.workers)

    start = time.time()
    bench.start(folder / 'whole', None)
    if bench.wait() != 0:
        sys.exit(f'the whole run failed; see {bench.output}')
    length = time.time() - start
    print(f'the whole run: {length:.1f} s, in {folder}', flush=True)

    failed, kills, begun, tried, finished = 0, Counter(), 0, 0, True
    start = time.time()
    while sum(kills.values()) < args.kills or not finished:
        if tried == 0:
            begun += 1
            work_dir = folder / f'killed-{begun}'
            shutil.rmtree(work_dir, ignore_errors=True)
        left = args.kills - sum(kills.values())
        moment = rng.choice(MOMENTS) if left > 0 else None
        finished = bench.kill_once(work_dir, moment, rng, length)
        if not finished:
            kills[moment] += 1
        tried += 1
        done = sum(kills.values())
        eta = (time.time() - start) / max(done, 1) * (args.kills - done)
        state = 'ended' if finished else f'killed: {moment}'
        print(f'[{done}/{args.kills}] run {begun}: {state}  eta: {eta:.0f} s', flush=True)
        if finished:
            tried = 0
            wrong = bench.compare(work_dir)
            failed += bool(wrong)
            for text in wrong[:10]:
                print(f'  DIFFERS: {text}', flush=True)
            if not wrong:
                shutil.rmtree(work_dir)
    print(
        f'{sum(kills.values())} kills ({", ".join(f"{n} {k}" for k, n in sorted(kills.items()))}) '
        f'in {begun} runs, {time.time() - start:.0f} s: '
        + (f'{failed} runs DIFFER, see {folder}' if failed else 'all equal to the whole run')
    )
    if not failed and not args.folder:
        shutil.rmtree(folder)
    return failed


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('kills', type=int, nargs='?', default=3, help='N; default: 3')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--mode', choices=['fixed', 'paper', 'official', 'close'], default='fixed')
    parser.add_argument('--workers', type=int, default=0, help='that load the training images')
    parser.add_argument('--folder', help='for the runs; default: a temporary one')
    return parser.parse_args(argv)


class Bench:
    """The search, as processes that can be killed."""

    def __init__(self, folder: Path, mode: str, workers: int):
        self.folder, self.output = folder, folder / 'output.txt'
        self.train = runpy.run_path(str(ROOT / 'tools/train.py'))['main']  # imports everything
        from cream_mm.testing import write_image_folder

        data = folder / 'data'
        if not data.is_dir():
            write_image_folder(data, classes=('a', 'b', 'c'), train=14, size=(20, 24))
        base = f'{ROOT}/configs/cream/search_imagenet{"" if mode == "fixed" else f"_{mode}"}.py'
        text, options = CONFIG, OPTIONS
        if mode == 'close':
            base, text, options = f'{ROOT}/configs/close/search_nb201.py', CLOSE, CLOSE_OPTIONS
        config = folder / 'search.py'
        config.write_text(text.format(base=base))
        self.argv = [str(config), '--cfg-options', f'data_root={data}', f'num_workers={workers}']
        self.argv += options

    def kill_once(self, work_dir: Path, moment: str | None, rng, length: float) -> bool:
        """Go on with the run until it is killed; True if it came to its end instead."""
        plan = None
        if moment == 'rating':
            plan = ('rating', rng.randint(1, 4))
        elif moment not in (None, 'any time'):
            plan = (moment, rng.randint(1, 6))  # of the files that a process writes
        self.start(work_dir, plan)
        return self.wait(rng.uniform(0, length) if moment == 'any time' else None) == 0

    def start(self, work_dir: Path, plan: tuple | None) -> None:
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(work_dir, plan)

    def wait(self, seconds: float | None = None) -> int:
        """Exit code; -9 when it was killed, after ``seconds`` at the latest."""
        end = None if seconds is None else time.time() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                if code not in (0, -signal.SIGKILL):
                    sys.exit(f'a run ended with {code}; see {self.output}')
                return code
            if end is not None and time.time() > end:
                end = None
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.01)

    def _run(self, work_dir: Path, plan: tuple | None) -> None:
        code = 1
        try:
            os.setsid()  # workers die with it
            with open(self.output, 'ab') as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            watch_ratings(self._rated(work_dir))
            if plan is not None:
                plan_kill(*plan)
            resume = ['--resume'] if work_dir.is_dir() else []
            self.train([self.argv[0], '--work-dir', str(work_dir), *resume, *self.argv[1:]])
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _rated(self, work_dir: Path) -> Path:
        """A file with a line for each rating that was computed."""
        return self.folder / f'rated-{work_dir.name}.txt'

    def compare(self, work_dir: Path) -> list[str]:
        """What differs from the whole run, or was rated twice."""
        from cream_mm.testing import run_differences

        wrong = run_differences(work_dir, self.folder / 'whole', LAST)
        lines = (work_dir / 'ratings.jsonl').read_text().splitlines()
        for what, rated in (
            ('recorded', [str(json.loads(line)['arch']) for line in lines]),
            ('rated', self._rated(work_dir).read_text().splitlines()),
        ):
            twice = [arch for arch, count in Counter(rated).items() if count > 1]
            wrong += [f'{what} twice: {arch}' for arch in twice]
        return wrong


def kill_now() -> None:
    os.killpg(0, signal.SIGKILL)


def watch_ratings(path: Path) -> None:
    """Note each rating that was computed, when it is to be recorded."""
    from cream_mm.files.rating_log import RatingLog

    add = RatingLog.add

    def noting(self, arch, rating):
        add(self, arch, rating)
        with open(path, 'a') as file:
            file.write(f'{arch.to_list()}\n')

    RatingLog.add = noting


def plan_kill(moment: str, number: int) -> None:
    """Kill this process at the ``number``-th such moment."""
    from cream_mm.files import whole
    from cream_mm.files.rating_log import RatingLog

    left = [number]

    def strikes() -> bool:
        left[0] -= 1
        return left[0] == 0

    if moment == 'rating':
        add = RatingLog.add

        def adding(self, *args):
            add(self, *args)
            if strikes():
                kill_now()

        RatingLog.add = adding
        return

    on_disk = {}  # by file descriptor: bytes that were there before it was opened

    def opening(path, *args, **kwargs):
        file = open(path, *args, **kwargs)  # noqa: SIM115
        on_disk[file.fileno()] = os.fstat(file.fileno()).st_size
        return file

    class Os:
        """The module os, as cream_mm.files.whole sees it."""

        def __getattr__(self, name):
            return getattr(os, name)

        def fsync(self, number):
            status = os.fstat(number)
            if moment == 'half a file' and stat.S_ISREG(status.st_mode) and strikes():
                # Of lines that are added, those from before are safe from any kill.
                before = on_disk[number]
                os.ftruncate(number, before + (status.st_size - before) // 2)
                kill_now()
            os.fsync(number)

        def replace(self, source, target):
            if moment == 'before the rename' and strikes():
                kill_now()
            os.replace(source, target)
            if moment == 'after the rename' and strikes():
                kill_now()

    whole.os, whole.open = Os(), opening


if __name__ == '__main__':
    sys.exit(bool(main()))
