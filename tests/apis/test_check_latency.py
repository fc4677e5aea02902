"""A check tells a table that predicts from one that does not."""

import json

import pytest
from made_machine import made_machine

from cream_mm.apis.check_latency import check_latency
from cream_mm.apis.latency_table import build_latency


@pytest.fixture
def built(monkeypatch, tmp_path):
    out = tmp_path / 'latency.json'
    with made_machine(monkeypatch) as machine:
        build_latency('nas_bench_macro', out, minutes=0, say=lambda line: None)
        yield machine, out


def check(path, **kwargs):
    lines = []
    good = check_latency(path, say=lines.append, **kwargs)
    (table,) = json.loads(path.read_text())['tables']
    return good, table['check'], '\n'.join(lines)


def test_exact_sums_are_right_and_in_order(built):
    good, found, said = check(built[1], networks=12)
    assert good and found['networks'] == 12
    assert found['mean_error_pct'] < 0.5 and found['tau'] > 0.98
    assert found['tau_of_repeats'] == pytest.approx(1.0)
    assert len(found['measured_whole_ms']) == len(set(found['archs'])) == 12
    assert 'check     12 new networks, ' in said and 'NOT GOOD' not in said


def test_a_machine_that_is_slower_by_now_is_told_and_taken_out(built):
    machine, path = built
    machine.slowness = 1.5
    good, found, said = check(path, networks=12)
    assert good and found['drift_pct'] == pytest.approx(50, abs=0.1)
    assert found['mean_error_as_timed_pct'] == pytest.approx(100 / 3, abs=0.5)
    assert 'the reference network takes 50 % more time than at the build' in said


def test_a_table_that_is_off_is_told(built):
    _, path = built
    content = json.loads(path.read_text())
    content['tables'][0]['fixed_ms'] += content['tables'][0]['reference_ms'] / 2
    path.write_text(json.dumps(content))
    good, found, said = check(path, networks=12)
    assert not good and found['mean_error_pct'] > 10 and found['tau'] > 0.98
    assert 'NOT GOOD  a table is to be at most 10 % off, with a tau of at least 0.9' in said


def test_a_table_in_the_wrong_order_is_told(built):
    _, path = built
    content = json.loads(path.read_text())
    for stage in content['tables'][0]['choices_ms']:
        stage[:] = [[0.05, 0.05, 0.05] for _ in stage]
    path.write_text(json.dumps(content))
    good, found, said = check(path, networks=12)
    assert not good and found['tau'] is None
    assert 'no tau' in said


def test_on_another_processor_times_themselves_are_compared(built):
    machine, path = built
    content = json.loads(path.read_text())
    content['machine']['processor'] = 'Another'
    path.write_text(json.dumps(content))
    machine.slowness = 1.5
    good, found, said = check(path, networks=12)
    assert not good and found['mean_error_pct'] == pytest.approx(100 / 3, abs=0.5)
    assert 'note      the table was measured with processor Another, here Made' in said


def test_tables_of_layers_cannot_be_checked(tmp_path):
    path = tmp_path / 'rows.json'
    row = dict(op='linear', in_channels=8, out_channels=4, latency=0.1)
    path.write_text(json.dumps(dict(format='cream_mm.latency_rows/1', unit='ms', rows=[row])))
    with pytest.raises(ValueError, match='it does not tell whose networks to time'):
        check_latency(path)
