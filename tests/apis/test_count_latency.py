import json

import pytest
from made_latency import by_hand, made_rows, made_table

from cream_mm.apis.count_latency import count_latency
from cream_mm.models.backbones.resolve_arch import resolve_arch
from cream_mm.spaces import MBConvSpace


def rows_file(tmp_path, space, size, **changes):
    content = dict(
        format='cream_mm.latency_rows/1', unit='ms', batch=1, rows=made_rows(space, size)
    )
    path = tmp_path / 'rows.json'
    path.write_text(json.dumps(content | changes))
    return str(path)


def networks_file(tmp_path, space):
    table = dict(input_size=[224, 224], num_classes=1000, **made_table(space))
    content = dict(format='cream_mm.latency/1', unit='ms', space=space.to_dict(), tables=[table],
                   machine=dict(processor='AMD', threads=2, dtype='float32'))  # fmt: skip
    path = tmp_path / 'networks.json'
    path.write_text(json.dumps(content))
    return str(path)


def test_a_network_by_its_layers(tmp_path):
    path = rows_file(tmp_path, MBConvSpace(depths=(2,) * 5), 96)
    arch, space, _ = resolve_arch('cream-287m')
    found = count_latency('cream-287m', path, (96, 96), 10)
    assert found.ms == pytest.approx(by_hand(space, arch, 96), rel=1e-12)
    assert sum(ms for *_, ms in found.layers) == pytest.approx(found.ms)
    assert [name for name, *_ in found.layers][:3] == ['(fixed)', 'blocks.1.0', 'blocks.2.0']
    assert found.layers[1][1] == 'MBConv 16 -> 24, 24x24, k3 e4'
    with pytest.raises(ValueError, match='rows.json: the table of times has no row'):
        count_latency('cream-287m', path, (128, 128), 10)


def test_a_network_of_the_space_that_was_measured(tmp_path):
    """Of fewer layers than the deepest: those that it has."""
    path = networks_file(tmp_path, MBConvSpace())
    times = made_table(MBConvSpace())
    found = count_latency('cream-43m', path, (224, 224), 1000)
    chosen = [[0], [3, 1], [3, 1], [3, 3, 3], [3, 3]]
    expected = times['fixed_ms'] + sum(
        row[c] for stage, cs in zip(times['choices_ms'], chosen) for row, c in zip(stage, cs)
    )
    assert found.ms == pytest.approx(expected, rel=1e-12)
    assert found.about == '224x224, with a classifier, batch 1, float32, on AMD, 2 threads'
    with pytest.raises(ValueError, match='cream-604m has deeper stages than'):
        count_latency('cream-604m', path, (224, 224), 1000)
    with pytest.raises(ValueError, match='no times of 160x160, .*it has: 224x224'):
        count_latency('cream-43m', path, (160, 160), 1000)
    with pytest.raises(
        ValueError, match='networks.json is of another space: .*widths: .24, 40, 80, 96, 192., here'
    ):
        count_latency('lite0', path, (224, 224), 1000)
