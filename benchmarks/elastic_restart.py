r"""Does a run go on by itself when one of its processes is killed, and end like one that was not?

  python benchmarks/elastic_restart.py
  python benchmarks/elastic_restart.py 3 --seed 4 --folder /tmp/elastic

The search of benchmarks/kill_resume.py on two processes, started by

  torchrun --standalone --nproc_per_node=2 --max-restarts=N \
      tools/train.py CONFIG --launcher pytorch --resume

It is run once to its end. Then it is run again, and one of its two processes is killed (SIGKILL) N
times, each time at another moment after its first steps; torchrun starts both again, and they
resume. What the runs leave behind must be equal bit by bit, as in kill_resume.py.

About 20 s a start on two CPU cores, most of it for imports.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill_resume import CONFIG, OPTIONS, ROOT

from cream_mm.testing import run_differences, write_image_folder

EPOCHS = (
    12  # of 5 steps; a quarter of a second each or more, most of it for checkpoint and validation
)


def main(argv=None) -> int:
    """Returns how many comparisons failed."""
    args = parse_args(argv)
    rng = random.Random(args.seed)
    folder = Path(args.folder or tempfile.mkdtemp(prefix='elastic_restart-'))
    write_image_folder(folder / 'data', classes=('a', 'b', 'c'), train=14, size=(20, 24))
    config = folder / 'search.py'
    config.write_text(CONFIG.format(base=f'{ROOT}/configs/cream/search_imagenet.py'))

    start = time.time()
    run(folder, 'whole', 0, rng)
    print(f'the whole run: {time.time() - start:.1f} s, in {folder}', flush=True)
    start = time.time()
    killed = run(folder, 'killed', args.kills, rng)
    wrong = run_differences(folder / 'killed', folder / 'whole', f'epoch_{EPOCHS}.pth')
    for text in wrong[:10]:
        print(f'  DIFFERS: {text}')
    print(
        f'{killed} kills, {time.time() - start:.0f} s: '
        + (f'the runs DIFFER, see {folder}' if wrong else 'equal to the whole run')
    )
    if not wrong and not args.folder:
        shutil.rmtree(folder)
    return int(bool(wrong) or killed < args.kills)


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('kills', type=int, nargs='?', default=1, help='N; default: 1')
    parser.add_argument('--seed', type=int, default=0, help='of the moments and the ranks')
    parser.add_argument('--folder', help='for the runs; default: a temporary one')
    return parser.parse_args(argv)


def run(folder: Path, name: str, kills: int, rng) -> int:
    """Run to the end with that many kills on the way; returns how many there were."""
    command = [
        sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2',
        f'--max-restarts={kills}', str(ROOT / 'tools/train.py'),
        str(folder / 'search.py'), '--launcher', 'pytorch', '--resume',
        '--work-dir', str(folder / name),
        '--cfg-options', f'data_root={folder / "data"}', 'num_workers=0',
        'default_hooks.logger.interval=1', *OPTIONS, f'max_epochs={EPOCHS}',
    ]  # fmt: skip
    env = {'OMP_NUM_THREADS': '1', **os.environ}
    done = 0
    with open(folder / f'{name}.txt', 'wb') as output:
        torchrun = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
        while torchrun.poll() is None:
            time.sleep(0.05)
            # Each start logs into a folder of its own, once there are steps.
            logs = sorted((folder / name).glob('*/vis_data/scalars.json'))
            if done < kills and len(logs) > done and logs[-1].stat().st_size:
                time.sleep(rng.uniform(0, EPOCHS / 4))
                workers = children_of(torchrun.pid)
                if len(workers) == 2:
                    os.kill(workers[rng.randrange(2)], signal.SIGKILL)
                    done += 1
                    note = folder / name / 'last_checkpoint'
                    last = Path(note.read_text()).name if note.is_file() else 'no checkpoint'
                    print(f'[{done}/{kills}] killed one of two; left: {last}', flush=True)
    if torchrun.returncode:
        sys.exit(f'torchrun ended with {torchrun.returncode}; see {folder / f"{name}.txt"}')
    return done


def children_of(pid: int) -> list[int]:
    return sorted(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))


if __name__ == '__main__':
    sys.exit(main())
