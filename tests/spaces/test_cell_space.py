"""The network around cells, of both kinds of spaces that have some."""

import pytest

from cream_mm.spaces import NAOSpace, NASBench201Space

both = pytest.mark.parametrize('kind', [NAOSpace, NASBench201Space])


@both
def test_stages(kind):
    space = kind(channels=6, stem_stride=4)
    assert space.stage_channels == (6, 12, 24) and space.stage_strides == (4, 8, 16)
    assert kind().stage_strides == (1, 2, 4)


@both
def test_other_strides(kind):
    space = kind(channels=6, num_cells=2, stem_stride=2)
    others = space.with_other_strides()
    assert others == [kind(channels=6, num_cells=2, stem_stride=n) for n in (1, 4, 8)]


@both
@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(channels=0), 'channels of a space is 1 to 65536; got 0'),
        (dict(num_cells=1001), 'num_cells of a space is 1 to 1000; got 1001'),
        (dict(num_cells=True), 'num_cells of a space is 1 to 1000; got True'),
        (dict(stem_stride=3), 'stem_stride is 1, 2, 4 or 8; got 3'),
    ],
)
def test_fields_out_of_range(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        kind(**fields)
