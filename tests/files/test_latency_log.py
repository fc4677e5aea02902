"""Times that were measured stay, whatever ends a build."""

import json

import pytest

from cream_mm.apis.time_networks import Timing
from cream_mm.files.latency_log import LatencyLog

SPACE = dict(name='tiny', depths=[2])
MACHINE = dict(processor='Made', threads=1, system='Linux 1')
TABLE = dict(input_size=[8, 8], batch=1, head=None, num_classes=None, head_channels=None)


def opened(path, **machine):
    return LatencyLog(path, SPACE, dict(MACHINE, **machine))


def test_times_are_there_again(tmp_path):
    path = tmp_path / 'times.jsonl'
    log = opened(path)
    log.add(TABLE, 'network', '[[0]]', Timing(0.5, 1.0, 2.0, 0))
    log.add(dict(TABLE, batch=4), 'network', '[[0]]', Timing(0.7, 1.4, 2.0, 3))
    again = opened(path, system='Linux 2')  # a newer system is the same machine
    assert list(again.of(TABLE)) == [('network', '[[0]]')]
    assert again.of(TABLE)['network', '[[0]]']['ratio'] == 0.5
    assert again.of(dict(TABLE, batch=4))['network', '[[0]]']['outliers'] == 3
    assert again.of(dict(TABLE, head='classifier')) == {}


def test_a_cut_line_and_what_is_no_time_are_passed_over(tmp_path):
    path = tmp_path / 'times.jsonl'
    log = opened(path)
    log.add(TABLE, 'network', 'a', Timing(0.5, 1.0, 2.0, 0))
    good = path.read_text().splitlines()[1]
    bad = [dict(json.loads(good), name='b', ratio=-1.0), dict(json.loads(good), name=3), [1]]
    lines = ''.join(json.dumps(line) + '\n' for line in bad)
    path.write_text(path.read_text() + lines + good[:40])
    again = opened(path)
    assert list(again.of(TABLE)) == [('network', 'a')]
    again.add(TABLE, 'network', 'c', Timing(0.5, 1.0, 2.0, 0))
    assert list(opened(path).of(TABLE)) == [('network', 'a'), ('network', 'c')]


def test_what_is_of_something_else_is_refused(tmp_path):
    path = tmp_path / 'times.jsonl'
    opened(path)
    with pytest.raises(ValueError, match=r'times of another machine \(threads: 1, now 2\)'):
        opened(path, threads=2)
    with pytest.raises(ValueError, match=r'of another space \(depths: \[2\], now \[3\]\)'):
        LatencyLog(path, dict(SPACE, depths=[3]), MACHINE)
    path.write_text('{"step": 1}\n')
    with pytest.raises(ValueError, match='is no log of latency'):
        opened(path)
