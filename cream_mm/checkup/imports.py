"""What can be imported and works, found out in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..import_errors import HEADLESS
from .installation import PACKAGE, Finding, installed, is_there, pip_line

PROBE = PACKAGE / 'checkup/import_probe.py'
BEGINS = '\x1e\n'  # between what two packages say on standard error
SECONDS = 300
NEEDED = (
    'numpy', 'scipy', 'matplotlib', 'PIL', 'jinja2', 'cv2', 'torch', 'torchvision', 'pycocotools',
    'timm', 'mmengine', 'mmcv', 'mmcv_ops', 'mmpretrain', 'mmdet', 'kernels',
)  # fmt: skip
OF_EXTRAS = ('onnx', 'onnxruntime', 'openvino', 'pymoo')  # with compiled parts
_LABELS = dict(kernels='CPU kernels', mmcv_ops='mmcv operators')


def check_imports(
    names: Sequence[str] | None = None, probe: Callable[[Sequence[str]], list[dict]] | None = None
) -> list[Finding]:
    """Import everything that a run needs, and what of the extras is installed.

    Args:
        names (Sequence[str], optional): In place of these.
        probe (callable, optional): Gets the names and gives a dictionary for each. Defaults to
            :func:`tried`.
    """
    if names is None:
        names = [name for name in (*NEEDED, *OF_EXTRAS) if name in _LABELS or is_there(name)]
        if not all(map(is_there, ('torch', 'mmengine', 'mmcv'))):
            names = [name for name in names if name not in _LABELS]
    results = (probe or tried)(names)
    found: list[Finding] = []
    fine = []
    failed = [one for one in results if not one['ok']]
    firsts = {one['error']: one['name'] for one in reversed(failed)}  # the first to say so
    for one in results:
        name = one['name']
        if one['ok']:
            if name in _LABELS:
                found.append(_TOLD[name](one))
            else:
                fine.append(name)
            if name == 'torch':
                found.append(_gpu(one))
        elif name == 'kernels':
            found.append(_no_kernels(one, len(failed) > 1))
        elif not _follows(one, firsts):
            topic = _LABELS.get(name, 'import')
            found.append(Finding('wrong', topic, f'{name}: {one["error"]}', _remedy(name, one)))
    told = [Finding('ok', 'import', ', '.join(fine))] if fine else []
    return [*told, *found]


def tried(names: Sequence[str], seconds: float = SECONDS) -> list[dict]:
    """What :mod:`cream_mm.checkup.import_probe` finds; what kills it is tried no further.

    Returns:
        list[dict]: In the order of the names: ``name``, ``ok``, and ``error`` or what was found.
    """
    results: list[dict] = []
    while len(results) < len(names):
        rest = list(names[len(results) :])
        out, why = _run([sys.executable, str(PROBE), *rest], seconds)
        lines = [json.loads(line) for line in out.splitlines() if line.startswith('{')]
        results += [line for line in lines if 'name' in line]
        if why and len(results) < len(names):
            results.append(dict(name=names[len(results)], ok=False, error=why))
        elif not lines:
            break
    return results


def _run(command: list[str], seconds: float) -> tuple[str, str | None]:
    """Standard output, and how the process ended, if that was no way to end."""
    # A child has the search path that this process began with; not the folder of its own script.
    env = {**os.environ, 'PYTHONWARNINGS': 'ignore'}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors='replace', timeout=seconds, env=env
        )
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b''
        out = out.decode(errors='replace') if isinstance(out, bytes) else out
        return out, f'takes longer than {seconds:g} s'
    if done.returncode == 0:
        return done.stdout, None
    of_the_last = done.stderr.rpartition(BEGINS)[2]
    last = (of_the_last.strip().splitlines() or [''])[-1]
    how = f'signal {-done.returncode}' if done.returncode < 0 else f'status {done.returncode}'
    return done.stdout, f'ends the interpreter ({how}){f": {last}" if last else ""}'


def _follows(one: dict, earlier: dict[str, str]) -> bool:
    """Whether it failed by a package that is spoken of by itself."""
    if 'two families' in one['error'].lower():
        return True  # said by the check of the families
    if earlier[one['error']] != one['name']:
        return True  # it imports that one
    names = set(earlier.values()) - {one['name']}
    return any(f'package {name} ' in one['error'] or f"named '{name}" in one['error']
               or one['error'].startswith(f'{name} ') for name in names)  # fmt: skip


def _remedy(name: str, one: dict) -> str:
    if 'pip ' in one['error']:
        return ''  # it is part of the message
    if name == 'cv2':
        return HEADLESS
    distribution = next((n for n in (name, f'onedl-{name}') if installed(n)), None)
    if name == 'mmcv_ops':
        return 'install an mmcv for this torch, or one without operators (docs/installation.md)'
    if distribution is None:
        return pip_line()
    return f'pip install --force-reinstall --no-deps {distribution}'


def _operators(one: dict) -> Finding:
    if one['compiled']:
        return Finding('ok', 'mmcv operators', 'compiled')
    text = 'not compiled: NMS, soft-NMS, focal loss and RoIAlign of cream_mm stand in for them'
    return Finding('ok', 'mmcv operators', text)


def _kernels(one: dict) -> Finding:
    if one.get('off'):
        text = f'off ({one["off"]}): training on a CPU is slower'
        return Finding('note', 'CPU kernels', text)
    told = [line for line in one['told'] if 'are kept in' in line]
    text = f'compiled, {one["file"]}'
    if told:
        return Finding('note', 'CPU kernels', f'{text}: {told[0].partition(": ")[2]}')
    return Finding('ok', 'CPU kernels', text)


def _no_kernels(one: dict, others_failed: bool) -> Finding:
    if others_failed:
        text = 'not tried, as what they need cannot be imported'
        return Finding('note', 'CPU kernels', text)
    text = f'none, training on a CPU is slower: {one["error"]}'
    return Finding('note', 'CPU kernels', text, '' if 'CXX' in text else 'install g++')


_TOLD = dict(mmcv_ops=_operators, kernels=_kernels)


def _gpu(torch: dict) -> Finding:
    if torch['gpus']:
        told = ', '.join(f'{name} ({memory / 2**30:.0f} GiB)' for name, memory in torch['gpus'])
        return Finding('ok', 'GPU', f'{told}, CUDA {torch["cuda"]}')
    if not Path('/proc/driver/nvidia/version').exists():
        return Finding('ok', 'GPU', f'none; torch {torch["version"]} works on the CPU')
    why = 'is built for the CPU' if torch['cuda'] is None else 'does not reach it'
    text = f'there is a driver of NVIDIA, but torch {torch["version"]} {why}'
    remedy = 'install the build of torch for your driver: https://pytorch.org/get-started'
    if torch['cuda'] is not None:
        remedy = 'nvidia-smi says whether the driver works; in a container, docker run --gpus all'
    return Finding('note', 'GPU', text, remedy)
