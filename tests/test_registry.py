import pytest
from mmengine.config.lazy import LazyObject
from mmengine.registry import HOOKS as MMENGINE_HOOKS

from cream_mm.registry import HOOKS, argument_names, type_name


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
