import pytest

from cream_mm.methods.cream.depth_layout import _table, depth_layout
from cream_mm.spaces import MBConvSpace

# Results of the released code for these ranges, in millions.
RELEASED = {
    (0, 600): ([4, 4, 4, 4, 4], 224),
    (0, 14): ([1, 1, 1, 1, 1], 96),
    (0, 30): ([1, 1, 1, 1, 1], 128),
    (0, 43): ([1, 1, 1, 1, 1], 160),
    (0, 50): ([1, 1, 1, 1, 1], 160),
    (0, 60): ([1, 1, 1, 1, 1], 192),
    (0, 100): ([1, 1, 1, 1, 1], 224),
    (0, 114): ([1, 1, 1, 1, 1], 224),
    (0, 150): ([1, 1, 2, 1, 1], 224),
    (0, 200): ([1, 1, 3, 2, 1], 224),
    (0, 287): ([1, 1, 3, 3, 3], 224),
    (0, 300): ([1, 2, 3, 3, 3], 224),
    (0, 350): ([2, 2, 3, 3, 3], 224),
    (250, 350): ([2, 2, 3, 3, 3], 224),
    (0, 400): ([2, 2, 4, 4, 3], 224),
    (0, 481): ([2, 4, 4, 4, 4], 224),
    (400, 500): ([2, 4, 4, 4, 4], 224),
    (450, 550): ([3, 4, 4, 4, 4], 224),
    (500, 600): ([4, 4, 4, 4, 4], 224),
}


@pytest.mark.parametrize('bounds', RELEASED, ids=str)
def test_what_the_released_code_decides(bounds):
    layout = depth_layout(*bounds)
    assert (list(layout.depths), layout.input_size) == RELEASED[bounds]


def test_the_sums_it_starts_from():
    first, _ = _table(MBConvSpace())
    assert sum(row[0] for row in first) == pytest.approx(65.148928, abs=1e-9)
    assert sum(row[-1] for row in first) == pytest.approx(121.01608, abs=1e-9)


@pytest.mark.parametrize(
    ('bounds', 'words'),
    [
        ((580, 650), 'no depth fits 580 to 650 M: .* cost 556.6 M'),
        ((0, 1), 'no input size fits 1 M'),
        ((400, 300), '0 <= low <= high'),
        ((0, 0), '0 <= low <= high'),
    ],
)
def test_ranges_it_has_no_answer_for(bounds, words):
    with pytest.raises(ValueError, match=words):
        depth_layout(*bounds)


def test_it_explains_itself():
    start, growth, end = depth_layout(0, 287).reasons
    assert '65.1 M' in start and '121.0 M' in start
    assert 'stage 3 from 1 to 3, stage 4 from 1 to 3, stage 5 from 1 to 3' in growth
    # 121.01608 + 2 * (20.2804 + 27.9768 + 25.40832) = 268.34712; stage 2 would add 25.307248
    assert '268.3 M' in growth
    assert 'stage 2 would make 293.7 M, above 287 M' in end

    raised = depth_layout(250, 350).reasons[1]
    assert 'below the lower end, 250 M' in raised and '268.3 M' in raised
    shrunk = depth_layout(0, 14).reasons[1]
    # 14 * 7/6 * 7/5 * 7/4 * 7/3 = 93.37
    assert '96 pixels' in shrunk and '93.4 M' in shrunk
    assert depth_layout(0, 600).reasons[-1].startswith('Every stage has reached four layers')
