"""The table of int8, and its verdict."""

import numpy as np
import pytest

from cream_mm.deploy import int8_check
from cream_mm.deploy.int8_check import lines_of
from cream_mm.deploy.rate import Rating

FOUND = dict(
    metric='top-1', images=200, pct=[91.0, 90.5], drop=0.5, max_drop=1.0, good=True, ms=[3.0, 1.5],
    mb=[13.6, 3.4], input=[1, 3, 96, 96], threads=1, processor='Chip', vnni=True,
    runtime='onnxruntime 1.2', calibrated_on_all=False, rated_on_all=False,
)  # fmt: skip


def test_the_table_has_both_and_a_verdict():
    assert lines_of(FOUND) == [
        'int8             float32        int8',
        'top-1           91.00 %     90.50 %   -0.50 points, 200 images',
        'latency          3.00 ms     1.50 ms  2.00 times as fast',
        'file            13.60 MB     3.40 MB  25 % of it',
        '             onnxruntime 1.2, Chip, 1 thread, 1 x 3 x 96 x 96',
        'good         at most 1 points may be lost (--max-drop)',
    ]
    last = lines_of(dict(FOUND, drop=1.5, good=False))[-1]
    assert last.startswith(
        'NOT GOOD     int8 loses 1.50 points, more than 1 (--max-drop). Try more'
    )
    assert 'VNNI' not in last and '--int8 1000' in last
    few = lines_of(dict(FOUND, drop=1.7, good=False, images=60))[-1]
    assert 'one of 60 is 1.67 points' in few and 'one of' not in last
    every = dict(FOUND, drop=1.7, good=False, calibrated_on_all=True, rated_on_all=True)
    assert lines_of(every)[-1].endswith('(--max-drop). Use the float32 file, which is there, too')
    every['images'] = 60
    assert 'Try a larger validation set: one of 60 is 1.67 points; or use' in lines_of(every)[-1]
    assert '(--int8-bits 7)' in lines_of(dict(FOUND, drop=1.5, good=False, vnni=False))[-1]


@pytest.mark.parametrize(
    ('before', 'after', 'good'), [(91.0, 90.0, True), (91.0, 89.9, False), (50.0, 70.0, True)]
)
def test_a_drop_above_the_limit_is_not_good(monkeypatch, tmp_path, before, after, good):
    files = [tmp_path / 'a', tmp_path / 'b']
    for file, size in zip(files, (4_000_000, 1_000_000)):
        file.write_bytes(bytes(size))
    rated = {str(files[0]): before, str(files[1]): after}
    work = {str(files[0]): 40_000, str(files[1]): 10_000}

    def session(path, threads=None):
        run = lambda image: sum(range(work[str(path)]))  # noqa: E731
        run.path = str(path)
        return run

    rating = lambda run, *_: Rating('top-1', rated[run.path], 7)  # noqa: E731
    monkeypatch.setattr(int8_check, 'onnxruntime_session', session)
    monkeypatch.setattr(int8_check, 'rate', rating)
    monkeypatch.setattr(int8_check, 'CalibrationImages', lambda *_: [np.zeros(3)])
    found = int8_check.compare_int8(*files, None, None)
    assert found['rated_on_all'] and not found['calibrated_on_all']
    assert found['good'] is good and found['mb'] == [4.0, 1.0] and found['images'] == 7
    assert found['ms'][0] / found['ms'][1] == pytest.approx(4, rel=0.5)
