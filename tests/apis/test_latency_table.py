"""Tables of a machine whose times are known exactly: what is built is what it takes."""

import json

import pytest
from made_machine import made_machine, made_ms
from mmengine.config import Config

from cream_mm.apis.latency_networks import TimedNetworks
from cream_mm.apis.latency_table import build_latency, read_space
from cream_mm.apis.time_networks import Timing
from cream_mm.costs import build_cost_model
from cream_mm.files.latency_file import read_latency
from cream_mm.spaces import NASBench201Space, build_space

CONFIG = """
budget = dict(latency_ms=(0, 5))
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='cream_mm.CreamSupernet',
        space=dict(depths=(2, 2), choices=('identity', (3, 4), (5, 6)), widths=(16, 24),
                   strides=(2, 1), stem_channels=8, stem_stride=1, final_channels=32),
        costs=dict(input_size=16, num_classes=7),
        budget=budget,
    ),
)
"""


@pytest.fixture
def machine(monkeypatch):
    with made_machine(monkeypatch) as backend:
        yield backend


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'search.py'
    path.write_text(CONFIG)
    return str(path)


def build(source, out, **kwargs):
    lines = []
    content = build_latency(source, out, say=lines.append, **kwargs)
    return content, lines


def assert_predicts(content, path):
    """Every table's sums are the networks' times."""
    file = read_latency(path)
    for entries, table in zip(content['tables'], file.tables, strict=True):
        counted = dict(head_channels=table.head_channels, head=table.head)
        networks = TimedNetworks(file.space, table.input_size, table.num_classes or 2, **counted)
        costs = build_cost_model(
            file.space, table.input_size, table.num_classes or 2, **counted,
            latency=table.for_costs(),
        )  # fmt: skip
        stream = networks.random(5)
        for _ in range(10):
            arch = next(stream)
            truth = made_ms(networks.module(arch))
            assert costs.cost(arch).latency_ms == pytest.approx(truth, rel=0.01)
        assert entries['reference_ms'] == pytest.approx(made_ms(networks.module(
            networks.reference())))  # fmt: skip


def test_a_table_of_a_config_predicts_its_networks(machine, config, tmp_path):
    out = tmp_path / 'latency.json'
    content, lines = build(config, out)
    assert json.loads(out.read_text()) == content
    (table,) = content['tables']
    assert (table['input_size'], table['num_classes'], table['head']) == ([16, 16], 7, 'classifier')
    assert table['check'] is None
    assert [len(stage) for stage in table['choices_ms']] == [2, 2]
    # At stage 1, layer 2 an identity is nothing, whatever was measured.
    assert table['choices_ms'][0][1][0] == table['error_ms'][0][1][0] == 0
    assert_predicts(content, out)
    assert lines[0].startswith('machine   Made with onnxruntime, 1 thread')
    assert any(line.startswith('fit ') and '0.0 % off' in line for line in lines)


@pytest.mark.parametrize('source', ['blocks', 'cells'])
def test_blocks_by_layer_and_cells_by_edge(machine, source, tmp_path):
    space = NASBench201Space(num_cells=1)
    name = 'nas_bench_201'
    if source == 'blocks':
        name = str(tmp_path / 'dna.py')
        Config(dict(model=dict(backbone=dict(
            type='cream_mm.BlockSupernet', teacher_channels=[8] * 3,
            space=dict(preset='dna', cells=[[(1, 24), (2, 32)], [(1, 40)], [(1, 64), (1, 80)]],
                       strides=(2, 2, 1), choices=((3, 3), (5, 6)), final_channels=64),
            costs=dict(input_size=32, num_classes=7))))).dump(name)  # fmt: skip
    out = tmp_path / 'latency.json'
    content, _ = build(name, out)
    if source == 'cells':
        assert build_space(content['space']).channels == space.channels
    else:
        assert 'choices_ms' not in content['tables'][0]
        assert sum(row['op'] == 'fixed' for row in content['tables'][0]['rows']) == 1
    assert_predicts(content, out)


def test_sizes_heads_and_batches_are_added_to_the_file(machine, config, tmp_path):
    out = tmp_path / 'latency.json'
    first, _ = build(config, out)
    first['tables'][0]['check'] = dict(networks=3, mean_error_pct=1.0, tau=1.0)
    out.write_text(json.dumps(first))
    build(config, out, sizes=[(24, 24), (12, 20)])
    build(config, out, head=None, batch=4)
    content, _ = build(config, out)
    found = [(t['input_size'], t['batch'], t['head']) for t in content['tables']]
    assert sorted(found, key=str) == sorted([
        ([24, 24], 1, 'classifier'), ([12, 20], 1, 'classifier'), ([16, 16], 4, None),
        ([16, 16], 1, 'classifier'),
    ], key=str)  # fmt: skip
    assert content['tables'][-1]['check'] == first['tables'][0]['check']  # as nothing is new
    assert_predicts(content, out)


def test_the_same_command_goes_on_after_a_kill(machine, config, tmp_path):
    whole, out = tmp_path / 'whole.json', tmp_path / 'latency.json'
    content, _ = build(config, whole)
    needed = machine.loads
    log = tmp_path / 'whole.json.jsonl'
    lines = log.read_text().splitlines(keepends=True)
    (tmp_path / 'latency.json.jsonl').write_text(''.join(lines[:31]) + lines[31][:20])
    machine.loads = 0
    again, said = build(config, out)
    assert machine.loads == needed - 30  # its first line is the head
    assert again == content
    assert not any('[8/' in line for line in said)


def test_times_of_another_machine_or_space_are_not_mixed(machine, config, tmp_path):
    out = tmp_path / 'latency.json'
    build(config, out)
    with pytest.raises(ValueError, match=r'latency.json is of another machine \(threads: 1, now 2'):
        build(config, out, threads=2)
    with pytest.raises(ValueError, match=r'of another space \(.*widths'):
        build(config, out, cfg_options={'model.backbone.space.widths': [16, 32]})
    out.unlink()
    with pytest.raises(ValueError, match=r'jsonl has times of another machine \(threads: 1, now 2'):
        build(config, out, threads=2)


def test_the_minutes_end_a_build_that_has_enough_networks(machine, tmp_path):
    content, lines = build('lite0', tmp_path / 'latency.json', sizes=[(32, 32)], minutes=0)
    assert content['tables'][0]['networks'] == 40
    assert 'networks  40: 0 minutes are over' in lines


def test_disturbed_rounds_are_told(machine, config, tmp_path, monkeypatch):
    def times(runs, reference, **kwargs):
        return [Timing(run.ms / reference.ms, run.ms, reference.ms, 2) for run in runs]

    monkeypatch.setattr('cream_mm.apis.latency_table.time_beside', times)
    content, lines = build(config, tmp_path / 'latency.json')
    number = 2 * content['tables'][0]['networks']
    assert f'note      {number} rounds were disturbed by something else; medians' in '\n'.join(
        lines
    )


def test_spaces_by_name_and_by_config(config):
    space, counted = read_space('nas_bench_macro')
    assert (space.name, counted) == ('nas_bench_macro', dict(input_size=32, num_classes=10))
    assert read_space('cream')[1] == dict(input_size=224, num_classes=1000)
    space, counted = read_space(config, {'model.backbone.costs.input_size': 24})
    assert (space.depths, counted) == ((2, 2), dict(input_size=24, num_classes=7))
    with pytest.raises(ValueError, match="'resnet' is no space and no config; spaces are cream, "):
        read_space('resnet')


def test_a_config_that_searches_nothing_is_refused(tmp_path):
    path = tmp_path / 'retrain.py'
    path.write_text("model = dict(type='X', backbone=dict(type='cream_mm.CreamNet', arch='lite0'))")
    with pytest.raises(ValueError, match='is not the config of a search'):
        read_space(str(path))
