import re

import pytest

from cream_mm.costs.latency import LatencyTable, machine_words, pick_table

ROWS = [dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2,
             in_size=[56, 56], latency_ms=0.5)]  # fmt: skip
GOOD = dict(networks=30, mean_error_pct=3.1, tau=0.97)


def table(**changes):
    return LatencyTable(**{**dict(input_size=(224, 224), choices_ms=[[[1.0, 2.0]]]), **changes})


def test_a_table_is_picked_by_all_that_its_times_depend_on():
    small, backbone = table(input_size=(160, 160)), table(head=None)
    eight, half = table(batch=8), table(dtype='int8')
    tables = [small, backbone, eight, half, table(fixed_ms=7.0)]

    def pick(size=(224, 224), head='classifier', batch=1, dtype='float32'):
        return pick_table(tables, size, head, batch, dtype)

    assert pick().fixed_ms == 7.0
    assert pick((160, 160)) is small and pick(head=None) is backbone
    assert pick(batch=8) is eight and pick(dtype='int8') is half
    assert pick((160, 224)) is None and pick(batch=4) is None and pick((160, 160), None) is None


def test_layers_serve_any_size_and_head_but_no_other_batch():
    layers = LatencyTable(rows=ROWS, batch=1, dtype=None)
    assert pick_table([layers], (96, 64), None, 1, 'float16') is layers
    assert pick_table([layers], (96, 64), 'classifier', 1, 'float32') is layers
    assert pick_table([layers], (96, 64), None, 2, 'float32') is None


def test_what_costs_take():
    assert table(fixed_ms=0.5).for_costs() == dict(fixed_ms=0.5, choices_ms=[[[1.0, 2.0]]])
    assert LatencyTable(rows=ROWS).for_costs() == dict(rows=ROWS)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(check=GOOD), []),
        (dict(check=GOOD | dict(mean_error_pct=10.0, tau=0.9)), []),
        (dict(check=GOOD | dict(mean_error_pct=10.1)), ['10.1 % off on average and rank .* rough']),
        (dict(check=GOOD | dict(tau=0.89)), ['tau=0.89: rough']),
        (dict(), ['not compared with measured networks: tools/latency.py check']),
        (dict(choices_ms=[[[1.0, 2e3, 3e3]]], check=GOOD),
         ['2 of 3 layers take more than 100 ms, the first 2000 ms .choice 1 of layer 0']),
        (dict(choices_ms=[[[0.0, 2e-5, 1.0]]], check=GOOD),
         ['1 of 3 layers take less than 1 us, the first 2e-05 ms']),
        (dict(rows=[ROWS[0] | dict(latency_ms=500)], check=GOOD),
         [r'1 of 1 layers take more .* 500 ms \(mbconv kernel=3 .* in_size=56x56\): is the unit']),
        (dict(rows=ROWS), ['no whole network was compared']),
    ],
)  # fmt: skip
def test_doubts(changes, words):
    found = table(**{'choices_ms': None, **changes} if 'rows' in changes else changes).doubts()
    assert len(found) == len(words)
    for sentence, pattern in zip(found, words):
        assert re.search(pattern, sentence), sentence


def test_words():
    assert table().told() == '224x224, with a classifier, batch 1, float32'
    assert table(head=None, batch=8).told() == '224x224, a backbone alone, batch 8, float32'
    assert LatencyTable(rows=ROWS, batch=None, dtype=None).told() == (
        'any size, layers, batch not told, dtype not told'
    )
    machine = dict(processor='AMD EPYC', backend='onnxruntime', threads=2)
    assert machine_words(machine) == 'AMD EPYC with onnxruntime, 2 threads'
    assert machine_words(dict(device='cuda', threads=1)) == 'cuda, 1 thread'
    assert machine_words({}) == 'a machine without a name'
