"""What a process finds around it: which family of OpenMMLab distributions, and how many cores.

Two families provide the same import names (``mmengine``, ``mmcv``, ``mmdet``, ``mmpretrain``) and
write into the same folders, so installing one over the other leaves a mixture of both. Names of
distributions are all that is looked at here; nothing heavy is imported.
"""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# family -> import name -> the distributions that provide it, the one to install first
FAMILIES: dict[str, dict[str, tuple[str, ...]]] = {
    'onedl': {
        'mmengine': ('onedl-mmengine',),
        'mmcv': ('onedl-mmcv',),
        'mmdet': ('onedl-mmdetection',),
        'mmpretrain': ('onedl-mmpretrain',),
    },
    'openmmlab': {
        'mmengine': ('mmengine', 'mmengine-lite'),
        'mmcv': ('mmcv-lite', 'mmcv'),
        'mmdet': ('mmdet',),
        'mmpretrain': ('mmpretrain',),
    },
}
# In a clone, and where a wheel was installed.
_IS_CLONE = Path(__file__).resolve().parents[1].joinpath('setup.cfg').is_file()
_INSTALL = 'pip install -e ".[{}]"' if _IS_CLONE else 'pip install "cream-mm[{}]"'
_HOW_TO_INSTALL = (
    'Install one family of them:\n'
    f'  {_INSTALL.format("onedl")}      the maintained forks: current torch, numpy 2\n'
    f'  {_INSTALL.format("openmmlab")}  the classic releases: torch 2.1, numpy 1'
)


def check_family(installed: Iterable[str] | None = None) -> None:
    """Raise unless exactly one family is installed, with all its four distributions.

    Args:
        installed (Iterable[str], optional): Names of installed distributions, in any spelling.
            Defaults to None: those of the running interpreter.

    Raises:
        ImportError: If distributions of both families are installed, or one is missing.
    """
    mm_family(installed)


def asks_doctor(command: Sequence[str] = sys.orig_argv) -> bool:
    """Whether this process is ``doctor``, which has to run where :func:`check_family` refuses."""
    return any(word == 'doctor' or word.endswith('doctor.py') for word in command[1:4])


def mm_family(installed: Iterable[str] | None = None) -> str:
    """The family that provides the mm* packages: ``'onedl'`` or ``'openmmlab'``.

    Args:
        installed (Iterable[str], optional): As in :func:`check_family`.

    Returns:
        str: Name of the installed family.

    Raises:
        ImportError: If distributions of both families are installed, or one is missing.
    """
    found = _found(installed)
    families = [family for family, dists in found.items() if dists]
    if len(families) > 1:
        raise ImportError(_mixed_message(found))

    wanted = FAMILIES[families[0]] if families else {}
    missing = [dists for dists in wanted.values() if not set(dists) & set(found[families[0]])]
    if missing or not families:
        raise ImportError(_missing_message(families, found, missing))
    return families[0]


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Of the CPU, as the system tells it."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8', errors='replace') as file:
            for line in file:
                if line.startswith(('model name', 'Model')):
                    return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _found(installed: Iterable[str] | None) -> dict[str, list[str]]:
    """Family -> its installed distributions."""
    if installed is None:
        # A look-up by name lists folders only; importlib.metadata.distributions() would parse
        # the METADATA of every package, which takes 30 times as long.
        is_installed = _is_installed
    else:
        is_installed = {re.sub(r'[-_.]+', '-', name).lower() for name in installed}.__contains__
    return {
        family: [dist for dists in names.values() for dist in dists if is_installed(dist)]
        for family, names in FAMILIES.items()
    }


def _is_installed(dist: str) -> bool:
    try:
        importlib.metadata.distribution(dist)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _missing_message(
    families: list[str], found: dict[str, list[str]], missing: list[tuple[str, ...]]
) -> str:
    if not families:
        return (
            'cream_mm needs mmengine, mmcv, mmdet and mmpretrain, and none of them is installed. '
            + _HOW_TO_INSTALL
        )
    family = families[0]
    return (
        f'cream_mm needs mmengine, mmcv, mmdet and mmpretrain. Of the family {family!r} '
        f'{", ".join(found[family])} {_is_are(found[family])} installed, but missing: '
        f'{", ".join(" or ".join(dists) for dists in missing)}. {_HOW_TO_INSTALL}\n'
        f'The first choice that keeps what is there: {_INSTALL.format(family)}.'
    )


def _mixed_message(found: dict[str, list[str]]) -> str:
    lines = [
        'Two families of OpenMMLab distributions are installed. They overwrite each '
        "other's files, so neither is whole:"
    ]
    lines += [f'  {family}: {", ".join(dists)}' for family, dists in found.items()]
    everything = ' '.join(dist for dists in found.values() for dist in dists)
    lines += [
        'Uninstall all of them (removing one family only would tear holes into the other), then '
        'install one:',
        f'  pip uninstall -y {everything}',
        f'  {_INSTALL.format("onedl")}    or    {_INSTALL.format("openmmlab")}',
    ]
    return '\n'.join(lines)


def _is_are(items: list[str]) -> str:
    return 'is' if len(items) == 1 else 'are'
