"""What a search has found is timed beside what its table said of it."""

import json

import pytest
from made_machine import made_machine

from cream_mm.apis.latency_table import build_latency
from cream_mm.apis.time_found import time_found
from cream_mm.costs import Budget, build_cost_model
from cream_mm.files.answer_file import measured_content
from cream_mm.files.arch_file import arch_content
from cream_mm.files.front_file import front_content
from cream_mm.files.latency_file import read_latency


@pytest.fixture
def searched(monkeypatch, tmp_path):
    """A made machine, and the folder of a search under a budget of its milliseconds."""
    file = tmp_path / 'latency.json'
    with made_machine(monkeypatch) as machine:
        content = build_latency('nas_bench_macro', file, minutes=0, say=lambda line: None)
        read = read_latency(file)
        table = read.tables[0]
        costs = build_cost_model(
            read.space, table.input_size, table.num_classes, table.head_channels,
            latency=table.for_costs(),
        )  # fmt: skip
        small, large = (read.space.parse(text) for text in ('01201201', '22222222'))
        budget = Budget(costs, latency_ms=[0, costs.cost(small).latency_ms * 1.05])
        measured = measured_content(dict(batch=1, table=dict(machine=content['machine'])))
        work_dir = tmp_path / 'search'
        work_dir.mkdir()
        answer = arch_content(small, costs, budget=budget.to_dict(), latency=measured)
        (work_dir / 'best_arch.json').write_text(json.dumps(answer))
        front = front_content(
            budget, 'latency_ms', score='cross_entropy', higher_is_better=False, by='effects',
            steps=[(1.0, small), (2.0, large)], references=[], published={}, answer=small,
            ratings={small: {}, large: {}},
        )  # fmt: skip
        (work_dir / 'front.json').write_text(json.dumps(front))
        yield machine, work_dir, costs, (small, large)


def test_each_network_once_and_as_long_as_it_takes(searched):
    _, work_dir, costs, archs = searched
    lines = []
    found = time_found(work_dir, say=lines.append)
    assert [item.name for item in found] == ['answer', 'front 2']
    for item, arch in zip(found, archs):
        assert item.arch == arch and item.predicted_ms == costs.cost(arch).latency_ms
        assert item.ms == pytest.approx(item.predicted_ms, rel=0.01)
    assert 'within its budget' in lines[-1] and 'NOT' not in lines[-1]


def test_an_answer_that_takes_longer_is_told(searched):
    machine, work_dir, *_ = searched
    machine.slowness = 1.5
    lines = []
    time_found(work_dir, say=lines.append)
    assert 'NOT within its budget of [0, ' in lines[-1]
    assert 'the table is 33.' in lines[-2]


def test_an_exported_architecture_alone(searched):
    _, work_dir, *_ = searched
    found = time_found(work_dir / 'best_arch.json', say=lambda line: None)
    assert [item.name for item in found] == ['answer']
