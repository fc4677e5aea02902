"""Stages add up, and how many epochs fit follows from them."""

import pytest

from cream_mm.engine import stage as stage_module
from cream_mm.engine.stage import Stage, longest_fit, seconds_of, share_to_time

STAGES = [
    Stage('start', 'time', 1, 100.0, spread=0.5),
    Stage('training', 'steps', 200, 3.0, spread=0.1, grows=True),  # 60 s an epoch of 10
    Stage('rating', 'paths', 20, 15.0, spread=0.2),
]


def test_seconds_and_their_range():
    assert seconds_of(STAGES) == 100 + 600 + 300
    assert seconds_of(STAGES, -1) == pytest.approx(50 + 540 + 240)
    assert seconds_of(STAGES, 1) == pytest.approx(150 + 660 + 360)


@pytest.mark.parametrize(
    ('seconds', 'multiple', 'expected'),
    [
        (400 + 60 * 14, 1, (14, True)),
        (400 + 60 * 14 - 1, 1, (13, True)),
        (400 + 60 * 14, 4, (12, True)),
        (400 + 59, 1, (1, False)),
        (100, 3, (3, False)),
    ],
)
def test_longest_fit(seconds, multiple, expected):
    assert longest_fit(STAGES, seconds, 10, multiple) == expected


def test_nothing_to_fit():
    with pytest.raises(ValueError, match='goes with max_epochs'):
        longest_fit(STAGES[:1], 100, 10)


def test_the_share_grows_as_far_as_the_time_allows(monkeypatch):
    clock, asked = [0.0], []
    monkeypatch.setattr(stage_module, 'perf_counter', lambda: clock[0])

    def run(share):
        asked.append(share)
        clock[0] += 200 * share  # seconds for all
        return share

    # 64 of 6400 images take 2 s, so that 10 s are those of 320.
    assert share_to_time(run, 6400) == pytest.approx((0.05, 0.05))
    assert asked == pytest.approx([0.01, 0.05])
    asked.clear()
    assert share_to_time(run, 10) == (1.0, 1.0)
    assert asked == [1.0]
