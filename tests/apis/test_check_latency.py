"""A check tells a table that predicts from one that does not."""

import json

import pytest
from made_machine import made_machine

from cream_mm.apis.check_latency import check_latency
from cream_mm.apis.latency_table import build_latency
from cream_mm.testing import tiny_space


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


def test_a_space_without_other_networks(monkeypatch, tmp_path):
    """All 16 were measured for the table: they are timed again, and that is said."""
    costs = dict(input_size=8, num_classes=3, head_channels=16)
    backbone = dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), costs=costs)
    config, out = tmp_path / 'search.py', tmp_path / 'latency.json'
    config.write_text(f'model = dict(type="ImageClassifier", backbone={backbone!r})\n')
    with made_machine(monkeypatch):
        built = build_latency(str(config), out, minutes=0, say=lambda line: None)
        assert built['tables'][0]['networks'] == 16
        good, found, said = check(out)
    assert found['networks'] == len(set(found['archs'])) == 16
    assert good and found['mean_error_pct'] < 0.5
    assert 'this space has 0 networks more than the table was built from; 16 of those' in said


def test_a_table_of_another_dtype_cannot_be_checked(built):
    content = json.loads(built[1].read_text())
    content['machine']['dtype'] = 'int8'
    built[1].write_text(json.dumps(content))
    with pytest.raises(ValueError, match='has times in int8; a check runs float32'):
        check_latency(built[1])
