"""Imports packages one by one and says how each went; run as a script, so that a crash is only its.

  python cream_mm/checkup/import_probe.py NAME ...

Each name gives two lines of JSON: one before it is tried, and one with what was found. Nothing of
cream_mm is imported but for the kernels: the package refuses where OpenMMLab's are broken.
"""

import importlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent


def main(names: list[str]) -> None:
    """Try each of the names, keys of ``TRIED`` or importable ones."""
    # The folder of a script is the first place where Python looks for modules.
    sys.path[:] = [place for place in sys.path if not place or Path(place).resolve() != HERE]
    channel = os.fdopen(os.dup(1), 'w')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what packages print is no answer
    warnings.simplefilter('ignore')
    for name in names:
        _say(channel, dict(begin=name))
        os.write(2, b'\x1e\n')
        try:
            found = TRIED[name]() if name in TRIED else _imported(name)
            _say(channel, dict(name=name, ok=True, **found))
        except BaseException as error:  # an import may raise whatever it likes, SystemExit too
            text = _explain(error) or f'{type(error).__name__}: {" ".join(str(error).split())}'
            _say(channel, dict(name=name, ok=False, error=text[:600]))


def _say(channel: Any, content: dict) -> None:
    channel.write(json.dumps(content) + '\n')
    channel.flush()


def _explain(error: BaseException) -> str | None:
    spec = importlib.util.spec_from_file_location('_explain', PACKAGE / 'import_errors.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.explain_import(error)


def _imported(name: str) -> dict:
    importlib.import_module(name)
    return {}


def _cv2() -> dict:
    import cv2
    import numpy as np

    picture = cv2.resize(np.zeros((4, 4, 3), np.uint8), (2, 2))  # a torn one has no functions
    if picture.shape != (2, 2, 3):
        raise RuntimeError(f'cv2.resize gives {picture.shape}')
    return dict(version=cv2.__version__)


def _torch() -> dict:
    import numpy as np
    import torch

    if torch.from_numpy(np.ones(3)).sum().item() != 3:
        raise RuntimeError('torch reads arrays of numpy wrongly')
    gpus = []
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            gpus.append([about.name, about.total_memory])
    return dict(
        version=torch.__version__,
        cuda=torch.version.cuda,
        gpus=gpus,
        threads=torch.get_num_threads(),
    )


def _torchvision() -> dict:
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    if torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() != [1]:
        raise RuntimeError('torchvision.ops.nms is wrong')
    return {}


def _pycocotools() -> dict:
    import numpy as np
    from pycocotools import mask

    rows = np.asfortranarray(np.ones((2, 2, 1), np.uint8))
    if mask.area(mask.encode(rows)).tolist() != [4]:
        raise RuntimeError('pycocotools counts wrongly')
    return {}


def _mmcv_ops() -> dict:
    """Compiled operators; whether there are any is seen without importing them."""
    if importlib.util.find_spec('mmcv._ext') is None:
        return dict(compiled=False)
    import torch  # noqa: F401  its libraries are what the operators are linked to

    importlib.import_module('mmcv._ext')
    return dict(compiled=True)


def _kernels() -> dict:
    if os.environ.get('CREAM_MM_CPU_KERNELS', '1') == '0':
        return dict(off='CREAM_MM_CPU_KERNELS=0')
    if sys.platform != 'linux':
        return dict(off='they are for Linux')
    sys.path.insert(0, str(PACKAGE.parent))
    from cream_mm.ops import cpu_kernels
    from cream_mm.ops.compiled import load_compiled

    told: list[str] = []
    args = cpu_kernels.SOURCE, cpu_kernels.FLAGS, cpu_kernels.ARGUMENTS, told.append
    library, said = load_compiled(*args), list(told)
    if said:  # it was built, and moved to its place after that
        library = load_compiled(*args)
    return dict(file=library._name, told=said)


TRIED: dict[str, Callable[[], dict]] = dict(
    cv2=_cv2, torch=_torch, torchvision=_torchvision, pycocotools=_pycocotools,
    mmcv_ops=_mmcv_ops, kernels=_kernels,
)  # fmt: skip


if __name__ == '__main__':
    main(sys.argv[1:])
