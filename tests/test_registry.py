import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config.lazy import LazyObject
from mmengine.registry import HOOKS as MMENGINE_HOOKS

from cream_mm.registry import HOOKS, argument_names, runner_arguments, type_name

PACKAGE = Path(__file__).resolve().parents[1] / 'cream_mm'


class Base:
    def __init__(self, a, *, b=1):
        pass


class Passing(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Closed(Passing):
    def __init__(self, d):
        super().__init__(d)


class Inherited(Closed):
    pass


class Open:
    def __init__(self, e, **kwargs):
        pass


class Nothing:
    pass


@pytest.mark.parametrize(
    ('cls', 'expected'),
    [
        (Base, {'a', 'b'}),
        (Passing, {'a', 'b', 'c'}),
        (Closed, {'d'}),  # passes nothing on
        (Inherited, {'d'}),
        (Open, None),
        (Nothing, None),
        (lambda x, *, y: None, {'x', 'y'}),
        (lambda x, **kwargs: None, None),
    ],
)
def test_arguments_of_a_class(cls, expected):
    assert argument_names(cls) == expected


def test_ours_are_found_from_any_scope_by_their_whole_name():
    hook = HOOKS.get('PathLogHook')
    assert MMENGINE_HOOKS.get('cream_mm.PathLogHook') is hook
    assert MMENGINE_HOOKS.get('PathLogHook') is None


def registered_in_source():
    """Registry -> names, read off the decorators of all rooms."""
    found = {}
    files = [p for p in PACKAGE.rglob('*.py') if p.relative_to(PACKAGE).parts[0] != 'testing']
    for node in (n for path in files for n in ast.walk(ast.parse(path.read_text()))):
        for call in getattr(node, 'decorator_list', []):
            called = getattr(call, 'func', None)
            if getattr(called, 'attr', '') == 'register_module':
                given = {k.arg: ast.literal_eval(k.value) for k in call.keywords}.get('name')
                names = [given] if isinstance(given, str) else given or [node.name]
                found.setdefault(called.value.id, set()).update(names)
    found['OPTIMIZERS'] = {'RMSpropTF'}  # of timm, by a call
    return found


LOOK_UP = """
import json, sys
import mmengine.registry as roots
assert 'cream_mm' not in sys.modules and 'torch' not in sys.modules
wanted = json.loads(sys.argv[1])
for registry, names in wanted.items():
    for name in names:
        found = getattr(roots, registry).get('cream_mm.' + name)
        assert found.__module__.split('.')[0] in ('cream_mm', 'timm'), (registry, name)
from mmdet.registry import MODELS
from mmpretrain.registry import TRANSFORMS
assert MODELS.get('cream_mm.CreamNet').__name__ == 'CreamNet'
assert TRANSFORMS.get('cream_mm.LoadImage').__name__ == 'LoadImage'
"""


def test_mmengine_finds_all_of_ours_by_itself():
    """In a process that imports neither cream_mm nor anything else of ours."""
    wanted = {key: sorted(names) for key, names in registered_in_source().items()}
    assert {'Cream', 'CreamNet', 'CreamSupernet'} <= set(wanted['MODELS']) and len(wanted) >= 11
    command = [sys.executable, '-c', LOOK_UP, json.dumps(wanted)]
    done = subprocess.run(command, cwd='/', capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Registry node' not in done.stdout + done.stderr


DEFAULT_SCOPE = """
import cream_mm
from mmengine.registry import DefaultScope, HOOKS, MODELS
with DefaultScope.overwrite_default_scope('cream_mm'):
    net = MODELS.build(dict(type='CreamNet', arch='cream-14m'))
    assert HOOKS.build(dict(type='SeedHook')) and HOOKS.build(dict(type='IterTimerHook'))
from cream_mm.registry import MODELS
assert type(MODELS.build(dict(type='cream_mm.CreamNet', arch='cream-14m'))) is type(net)
"""


@pytest.mark.slow
def test_ours_may_be_the_default_scope():
    command = [sys.executable, '-c', DEFAULT_SCOPE]
    done = subprocess.run(command, cwd='/', capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]


def test_arguments_of_the_runner_are_read_off_its_source():
    from mmengine.runner import Runner

    assert runner_arguments() == tuple(inspect.signature(Runner).parameters)


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('Base', 'Base'),
        ('mmdet.Base', 'Base'),
        ('mmdet.datasets.coco.Base', 'Base'),
        (Base, 'Base'),
        (type_name, 'type_name'),
        (LazyObject('mmdet.datasets', 'Base'), 'Base'),
        (LazyObject('mmdet.datasets').Base, 'Base'),
        (None, ''),
        ('', ''),
    ],
)
def test_type_name(kind, expected):
    assert type_name(kind) == expected
