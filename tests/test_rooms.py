"""The law of the house: imports run down, no shared room names a method, methods do not meet."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / 'cream_mm'
# Lowest first. A room imports its own files and rooms further down.
ROOMS = (
    'ops', 'structures', 'spaces', 'costs', 'files', 'checkpoints', 'datasets', 'search', 'models',
    'converters', 'evaluation', 'engine', 'methods', 'config', 'apis', 'reports', 'deploy',
    'checkup', 'commands', 'testing',
)  # fmt: skip
# Of the package itself, beside the rooms: they import no room, so that every room may import them.
FLOOR = (
    '__main__',
    'registry',
    'environment',
    'import_errors',
    'import_prints',
    'import_wrapper',
    'mim_scope',
    'mmcv_ext',
    'mmcv_watch',
    'command_line',
    'command_words',
    'version',
    'wait_policy',
)
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob('*.py') if path.name != '__init__.py')
FILES += sorted(path.relative_to(ROOT) for path in ROOT.glob('*/__init__.py'))


def imported(path: Path) -> set[tuple[str, ...]]:
    """Parts of the names of the modules of ours that a file imports, inside functions too."""
    package, found = ('cream_mm', *path.parent.parts), set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split('.')) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*base, *(node.module or '').split('.')) if node.module else base
            found |= {(*module, alias.name) for alias in node.names}
    return {names[1:] for names in found if names[0] == 'cream_mm' and len(names) > 1}


@cache
def classes_of_methods() -> frozenset[str]:
    files = (ROOT / 'methods').rglob('*.py')
    nodes = (node for file in files for node in ast.parse(file.read_text()).body)
    return frozenset(node.name for node in nodes if isinstance(node, ast.ClassDef))


def test_every_room_is_on_the_list():
    rooms = {path.parts[0] for path in FILES if len(path.parts) > 1}
    assert rooms == set(ROOMS)
    assert {path.stem for path in FILES if len(path.parts) == 1} == set(FLOOR)


@pytest.mark.parametrize('path', FILES, ids=str)
def test_imports_run_down(path):
    for names in imported(path):
        if path.name == '__main__.py':  # the end of all, which nobody imports
            assert names[0] not in ROOMS or names[0] == 'commands'
        elif len(path.parts) == 1:
            assert names[0] not in ROOMS, f'{path} imports {names}'
        elif names[0] in ROOMS:
            height, below = ROOMS.index(path.parts[0]), ROOMS.index(names[0])
            assert below <= height, f'{path} imports upwards: {".".join(names)}'


@pytest.mark.parametrize('path', FILES, ids=str)
def test_no_shared_room_names_a_method(path):
    if path.parts[0] == 'methods':
        others = {n for n in imported(path) if n[0] == 'methods'}
        assert all(names[1] == path.parts[1] for names in others if len(names) > 1)
        return
    if path.parts[0] == 'testing':
        return  # tests of methods build them from there, by their registered names
    if path == Path('commands/suggest_depths.py'):
        return  # the command of one method
    assert not [names for names in imported(path) if names[0] == 'methods']
    nodes = list(ast.walk(ast.parse((ROOT / path).read_text())))
    named = {node.id for node in nodes if isinstance(node, ast.Name)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    registered = {f'cream_mm.{name}' for name in classes_of_methods()}
    assert not classes_of_methods() & named
    assert not (classes_of_methods() | registered) & texts


def test_the_law_is_no_empty_promise(tmp_path, monkeypatch):
    """A file that broke it would be found."""
    monkeypatch.setattr(f'{__name__}.ROOT', tmp_path)
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models/a.py').write_text('def f():\n    from ..engine import Runner\n')
    assert imported(Path('models/a.py')) == {('engine', 'Runner')}
    with pytest.raises(AssertionError, match='upwards'):
        test_imports_run_down(Path('models/a.py'))
