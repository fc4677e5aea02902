"""Whatever is public says what it takes and what it returns; ``py.typed`` says so to others."""

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ('cream_mm', 'tools')
    for path in (ROOT / folder).rglob('*.py')
)
# 'file: function': names without an annotation that are in order there.
EXCEPTIONS: dict[str, set[str]] = {}


def functions(body: list[ast.stmt], owner: str = '') -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions, and public methods of public classes, with their names."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith('_') or node.name == '__init__':
                yield f'{owner}{node.name}', node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from functions(node.body, f'{owner}{node.name}.')
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from functions(node.body, owner)


def unannotated(name: str, node: ast.FunctionDef) -> set[str]:
    """Parameters without an annotation, and ``'return'``."""
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
    if '.' in name and 'staticmethod' not in decorators:
        parameters = parameters[1:]  # self, cls
    parameters += [p for p in (node.args.vararg, node.args.kwarg) if p is not None]
    missing = {p.arg for p in parameters if p.annotation is None}
    if node.returns is None and node.name != '__init__':
        missing.add('return')
    return missing


@pytest.mark.parametrize('path', FILES)
def test_public_functions_are_annotated(path):
    for name, node in functions(ast.parse((ROOT / path).read_text()).body):
        missing = unannotated(name, node) - EXCEPTIONS.get(f'{path}: {name}', set())
        assert not missing, f'{path}:{node.lineno} {name} leaves {sorted(missing)} open'


def test_what_is_open_would_be_found():
    source = """
class A:
    def __init__(self, a: int, *args, b=1): pass
    def f(self, c: int): pass
    @staticmethod
    def g(d) -> int: pass
    def _h(self, e): pass
class _B:
    def f(self, x): pass
def k(*, f: int, **kwargs: int) -> None: pass
"""
    found = {name: unannotated(name, node) for name, node in functions(ast.parse(source).body)}
    expected = {'A.__init__': {'args', 'b'}, 'A.f': {'return'}, 'A.g': {'d'}, 'k': set()}
    assert found == expected


def test_the_package_says_that_it_is_typed():
    assert (ROOT / 'cream_mm/py.typed').is_file()
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    assert 'py.typed' in config['options.package_data']['*'].replace(' ', '').split(',')
