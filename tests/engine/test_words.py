from pathlib import Path

import pytest

from cream_mm.engine.words import format_duration, short_path, with_unit


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [
        (0.4, '0 s'),
        (59.4, '59 s'),
        (59.6, '1 min 0 s'),
        (185, '3 min 5 s'),
        (3600, '1 h 0 min'),
        (47 * 3600 + 59 * 60, '47 h 59 min'),
        (3 * 86400 + 2 * 3600, '3 days 2 h'),
    ],
)
def test_durations(seconds, expected):
    assert format_duration(seconds) == expected


def test_units_are_those_of_the_logs():
    assert with_unit('accuracy/top1', 98.6) == 'accuracy/top1 98.60 %'
    assert with_unit('raw_single-label/f1-score', 7.0) == 'raw_single-label/f1-score 7.00 %'
    assert with_unit('coco/bbox_mAP', 0.6791) == 'coco/bbox_mAP 0.6791 (0 to 1)'
    assert with_unit('my/error', 12.0) == 'my/error 12.0000'


def test_paths_as_one_would_type_them_here(tmp_path, monkeypatch):
    here = tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)
    assert short_path(here / 'work_dirs/x.pth') == short_path('work_dirs/x.pth')
    assert short_path(here / 'work_dirs/x.pth') == str(Path('work_dirs/x.pth'))
    assert short_path(tmp_path / 'x.pth') == str(tmp_path / 'x.pth')
