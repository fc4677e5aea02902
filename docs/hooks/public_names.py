"""What each room of cream_mm hands out, read off the source text."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'cream_mm'


@cache
def rooms() -> tuple[str, ...]:
    """Lowest first, as the law of the house has them."""
    tree = ast.parse((ROOT / 'tests/test_rooms.py').read_text())
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'ROOMS'
    )
    return tuple(room for room in ast.literal_eval(value) if (PACKAGE / room).is_dir())


def all_of(path: Path) -> list[str]:
    """``__all__`` of a file, where it is written out."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            return ast.literal_eval(node.value) if isinstance(node.value, ast.List) else []
    return []


def foreign(path: Path) -> set[str]:
    """Names that a file imports from other packages: there is no source to read them off."""
    body = ast.parse(path.read_text()).body
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.asname or name.name for node in imports for name in node.names}


@cache
def public_names(room: str) -> dict[str, list[str]]:
    """Names of a room and of the folders in it; each once, where it stands first."""
    paths = sorted((PACKAGE / room).rglob('__init__.py'))
    found, seen = {}, set().union(*map(foreign, paths))
    for path in paths:
        names = [name for name in all_of(path) if name not in seen]
        seen |= set(names)
        if names:
            found['.'.join(path.parent.relative_to(PACKAGE).parts)] = names
    return found


@cache
def places() -> dict[str, str]:
    """Full name of each public name."""
    found = {}
    for room in rooms():
        for package, names in public_names(room).items():
            for name in names:
                found.setdefault(name, f'cream_mm.{package}.{name}')
    return found
