import pytest

from cream_mm.files.space_entry import MAX_CHANNELS, MAX_LAYERS, check_space, is_number, need
from cream_mm.spaces import MBConvSpace, NAOSpace


def test_the_class_that_an_entry_names():
    assert check_space(MBConvSpace.build('lite0').to_dict()) is MBConvSpace
    assert check_space(dict(type='cream_mm.NAOSpace', channels=8)) is NAOSpace


@pytest.mark.parametrize(
    'entries',
    [dict(type='Popen'), dict(type=['NAOSpace']), dict(widths=[MAX_CHANNELS + 1]),
     dict(depths=[1] * (MAX_LAYERS + 1)), dict(padding='MARKER', act='relu', depths='x'),
     dict(name='x' * 201), dict(type='ElasticSpace')],
)  # fmt: skip
def test_what_no_space_says(entries):
    with pytest.raises(ValueError, match='^"space.'):
        check_space(entries)


def test_bounds():
    assert is_number(2.5, 2.5) and is_number(-2, 2)
    assert not any(is_number(x, 1e9) for x in (float('nan'), float('inf'), '1', None, 1e10))
    need(True, 'a', None)
    with pytest.raises(ValueError, match='^"a" is x{77}\\.\\.\\.$'):
        need(False, 'a', 'x' * 10**6)
