"""The whole story on a CPU: search, export, retrain, detect, report. About ten minutes.

  python tools/demo.py            (what `make demo` runs)

Everything goes to work_dirs/demo; an earlier demo there is replaced.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from cream_mm.command_line import tool_parser

STEPS = [
    ('prepare digits', 'tools/prepare_digits.py'),
    ('search', 'tools/train.py configs/demo/search_digits.py --work-dir work_dirs/demo/search'),
    (
        'export',
        'tools/export_arch.py work_dirs/demo/search/best_arch.json --out work_dirs/demo/export',
    ),
    (
        'retrain',
        'tools/train.py configs/demo/retrain_digits.py --work-dir work_dirs/demo/retrain',
    ),
    (
        'detector',
        'tools/train.py configs/demo/retinanet_digits.py --work-dir work_dirs/demo/retinanet',
    ),
    ('evaluate', 'tools/test.py work_dirs/demo/retinanet'),
    (
        'report',
        'tools/report.py work_dirs/demo/search --retrain work_dirs/demo/retrain '
        '--detector work_dirs/demo/retinanet --out work_dirs/demo/report.html',
    ),
]


def main(argv: Sequence[str] | None = None) -> None:
    """Run every step, and tell how long each took."""
    tool_parser(__doc__).parse_args(argv)
    shutil.rmtree('work_dirs/demo', ignore_errors=True)
    times = []
    for i, (name, command) in enumerate(STEPS, start=1):
        print(f'\n=== {i}/{len(STEPS)} {name}: python {command}', flush=True)
        start = time.time()
        done = subprocess.run([sys.executable, *shlex.split(command)])
        if done.returncode:
            sys.exit(f'error: the step {name!r} failed; its last lines above say why')
        times.append((name, time.time() - start))
    print('time:      ' + ', '.join(f'{name} {seconds:.0f} s' for name, seconds in times))
    print(f'           {sum(seconds for _, seconds in times) / 60:.1f} minutes in all')
