"""What is said of imports that fail, follow from others, or kill the interpreter."""

import sys

from cream_mm.checkup import imports
from cream_mm.checkup.imports import check_imports, tried


def of(**results):
    """A probe that finds these: an error as text, or what was found as a dictionary."""

    def probe(names):
        return [
            dict(name=n, ok=False, error=results[n]) if isinstance(results[n], str)
            else dict(name=n, ok=True, **results[n]) for n in names
        ]  # fmt: skip

    return check_imports(list(results), probe)


TORCH = dict(version='2.10.0', cuda=None, gpus=[])
DIES = 'ends the interpreter (signal 6)'
LIB = 'OpenCV needs libGL.so.1, which this machine lacks, as it has no screen. pip install x'


def test_all_is_well():
    found = of(
        numpy={}, torch=dict(TORCH, cuda='12.8', gpus=[['H100', 80 * 2**30]]),
        mmcv_ops=dict(compiled=False), kernels=dict(file='/home/me/cpu.so', told=[]),
    )  # fmt: skip
    assert [(one.status, one.topic, one.text) for one in found] == [
        ('ok', 'import', 'numpy, torch'),
        ('ok', 'GPU', 'H100 (80 GiB), CUDA 12.8'),
        ('ok', 'mmcv operators', 'not compiled: NMS, soft-NMS, focal loss and RoIAlign of '
         'cream_mm stand in for them'),
        ('ok', 'CPU kernels', 'compiled, /home/me/cpu.so'),
    ]  # fmt: skip


def test_what_follows_from_another_failure_is_no_line():
    found = of(
        cv2=LIB, torchvision=DIES, timm=DIES,
        mmcv=LIB, mmengine='the package cv2 is not installed: pip install opencv-python-headless',
        kernels='the package cv2 is not installed: pip install opencv-python-headless',
    )  # fmt: skip
    wrong = [one for one in found if one.status == 'wrong']
    assert [one.text.split(':')[0] for one in wrong] == ['cv2', 'torchvision']
    assert wrong[0].remedy == ''  # it is part of the message
    assert wrong[1].remedy.endswith('--no-deps torchvision')
    assert found[-1].status == 'note' and found[-1].text.startswith('not tried')


def test_without_kernels_training_is_slower_and_not_wrong():
    [_, one] = of(numpy={}, kernels='OSError: no C++ compiler; install g++, or name one in CXX')
    assert one.status == 'note' and 'training on a CPU is slower: OSError: no C++' in one.text
    [one] = of(kernels=dict(off='CREAM_MM_CPU_KERNELS=0'))
    assert one.text == 'off (CREAM_MM_CPU_KERNELS=0): training on a CPU is slower'
    told = ['The CPU kernels are kept in /tmp/x: /root/.cache: Read-only file system; set Y']
    [one] = of(kernels=dict(file='/tmp/x/cpu.so', told=told))
    assert one.status == 'note' and one.text.endswith('/root/.cache: Read-only file system; set Y')


def test_a_package_that_kills_the_interpreter_is_passed_over(tmp_path, monkeypatch):
    """And so is one that prints, exits, never ends, or was not found."""
    texts = dict(
        good='print("{of no use}")', dies='import os; os.write(2, b"why"); os.abort()',
        leaves='raise SystemExit(3)',
        hangs='import time; time.sleep(60)', last='',
    )  # fmt: skip
    for name, text in texts.items():
        (tmp_path / f'{name}_.py').write_text(text)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    names = [f'{name}_' for name in texts] + ['not_there_']
    found = tried(names[:3] + names[4:], seconds=60)
    assert [(one['name'], one['ok'], one.get('error')) for one in found] == [
        ('good_', True, None),
        ('dies_', False, 'ends the interpreter (signal 6): why'),
        ('leaves_', False, 'SystemExit: 3'),
        ('last_', True, None),
        ('not_there_', False, "ModuleNotFoundError: No module named 'not_there_'"),
    ]
    monkeypatch.setattr(imports.subprocess, 'run', _impatient(imports.subprocess.run))
    found = tried(names[3:5], seconds=60)
    assert [one.get('error') for one in found] == ['takes longer than 60 s', None]


def _impatient(run):
    def quick(command, **kwargs):
        if 'hangs_' in command:  # a slow machine needs seconds to begin
            code = 'print(\'{"begin": "hangs_"}\', flush=True); import time; time.sleep(60)'
            return run([sys.executable, '-c', code], **{**kwargs, 'timeout': 2})
        return run(command, **kwargs)

    return quick
