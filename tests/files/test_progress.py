import pytest

from cream_mm.files import progress as module
from cream_mm.files.progress import Progress


def test_known_steps_take_no_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, 'time', lambda: now[0])
    progress = Progress(20)
    assert [progress.step(known=True) for _ in range(4)] == [f'[{i}/20]' for i in (1, 2, 3, 4)]
    for _ in range(2):
        now[0] += 30
        text = progress.step()
    assert text == '[6/20]'
    assert progress.eta == 'eta: 7:00'  # 14 left at half a minute each; the first four were free


@pytest.mark.parametrize(('seconds', 'expected'), [(5, '0:05'), (65.9, '1:05'), (3600, '60:00')])
def test_minutes_and_seconds(monkeypatch, seconds, expected):
    now = [0.0]
    monkeypatch.setattr(module.time, 'time', lambda: now[0])
    progress = Progress(2)
    now[0] = seconds
    progress.step()
    assert progress.eta == f'eta: {expected}'
    progress.step()
    assert progress.eta == 'eta: 0:00'
