"""What a benchmark calls of the package takes what it is given: nothing else runs most of them."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

from cream_mm.commands.main import commands

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / 'benchmarks').rglob('*.py'))


def imported(tree: ast.AST) -> dict:
    """What each name imported from the package is; an import of what is gone is an error."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('cream_mm'):
            module = import_module(node.module)
            for alias in node.names:
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


def wrong_calls(source: str) -> list[str]:
    """Calls that the function does not take, or that start a command that is not there."""
    tree = ast.parse(source)
    names, found = imported(tree), []
    for node in ast.walk(tree):
        name = getattr(getattr(node, 'func', None), 'id', None)
        if not callable(names.get(name)):
            continue
        open_ended = any(isinstance(a, ast.Starred) for a in node.args)
        open_ended |= any(keyword.arg is None for keyword in node.keywords)
        args = [a for a in node.args if not isinstance(a, ast.Starred)]
        signature = inspect.signature(names[name])
        try:
            bind = signature.bind_partial if open_ended else signature.bind
            bind(*args, **{k.arg: k.value for k in node.keywords if k.arg})
            if name == 'tool':  # its further words are a command line: any number of them fits
                assert ast.literal_eval(args[0]) in commands().values()
        except (TypeError, ValueError, AssertionError) as error:
            found.append(f'line {node.lineno}: {ast.unparse(node)}: {error}')
    return found


@pytest.mark.parametrize('path', SCRIPTS, ids=[p.stem for p in SCRIPTS])
def test_the_package_takes_its_calls(path):
    assert not wrong_calls(path.read_text())


def test_a_changed_function_would_be_found():
    source = """
from cream_mm.apis.train_paths import tool
from cream_mm.files import read_json as read, write_json
def run():
    tool(ROOT, 'train.py', CONFIG, *options, log=log)
    tool('trian', CONFIG, log=log)
    tool('train', CONFIG, '--resume', *options, log=log)
    read(path, path, path, path)
    write_json(*args, nothing=1)
"""
    lines = [text.split(':')[0] for text in wrong_calls(source)]
    assert lines == ['line 5', 'line 6', 'line 8', 'line 9']
