"""Times of slices out of a few terms: the sums are exact, and the fit finds them again."""

import numpy as np
import pytest

from cream_mm.apis import slice_latency
from cream_mm.apis.slice_latency import (
    cross_validated,
    fit_terms,
    measure_slices,
    some_paths,
    terms_of,
)
from cream_mm.apis.time_networks import Timing
from cream_mm.costs import build_cost_model
from cream_mm.files.latency_file import read_latency
from cream_mm.files.whole import write_json
from cream_mm.spaces import ElasticSpace, MBConvSpace

COUNTED = dict(input_size=64, num_classes=3)


@pytest.fixture(scope='module')
def space():
    skeleton = MBConvSpace(depths=(1, 2, 2, 1, 1), se='none')
    full = skeleton.parse([[0], [5], [3, 3], [3, 1], [5], [5], [0]])
    return ElasticSpace(skeleton, full, expansions=(6, 3), kernels=(5, 3), input_sizes=(64, 48))


def test_terms_of_a_block():
    """1x1 to 24 channels at 8 x 8, 5x5 depthwise with stride 2, 1x1 to 6 channels."""
    layer = dict(op='mbconv', kernel=5, expand=6, in_channels=4, out_channels=6, stride=2,
                 in_size=(8, 8), out_size=(4, 4))  # fmt: skip
    found = {name: round(value * 1e6) for name, value in terms_of(layer).items()}
    assert found == {
        'layers': 1e6, 'dense': 64 * 4 * 24 + 16 * 24 * 6, 'depthwise 5': 16 * 24 * 25,
        'values': 64 * (4 + 24) + 16 * (2 * 24 + 6),
    }  # fmt: skip


def test_dense_and_depthwise_terms_add_up_to_the_multiply_adds(space):
    """Of any path, by the table that the terms become: nothing is forgotten or counted twice."""
    costs = build_cost_model(space, **COUNTED)
    layers = costs.layers()
    macs = [sum(v for k, v in terms_of(one).items() if k not in ('layers', 'values'))
            for one in layers]  # fmt: skip
    rows = slice_latency._rows(layers, macs)
    timed = build_cost_model(space, **COUNTED, latency=dict(rows=rows))
    for arch in some_paths(space):
        cost = timed.cost(arch).in_units()
        assert cost['latency_ms'] == pytest.approx(cost['macs_m'], rel=1e-9)


def test_the_fit_finds_what_was_put_in():
    rng = np.random.default_rng(0)
    sums, weights = rng.uniform(1, 5, (12, 3)), np.array([0.5, 0.0, 2.0])
    found, fixed = fit_terms(sums, sums @ weights + 0.7)
    np.testing.assert_allclose([*found, fixed], [*weights, 0.7], atol=1e-9)
    assert cross_validated(sums, sums @ weights + 0.7) < 1e-6


def test_a_file_of_slices(space, tmp_path, monkeypatch):
    """Timed by a clock that knows the truth, every path has its true time, out of the file."""
    costs = build_cost_model(space, **COUNTED)
    layers = costs.layers()
    truth = [0.01 + 0.2 * terms_of(one).get('depthwise 3', 0) + 0.05 * terms_of(one)['values']
             for one in layers]  # fmt: skip
    rows = [dict(op='fixed', latency_ms=0.3), *slice_latency._rows(layers, truth)]
    true = build_cost_model(space, **COUNTED, latency=dict(rows=rows))
    ahead = iter(some_paths(space))

    class Stand:
        reference_ms = 2.0

        def __init__(self, networks, runtime, batch):
            assert batch == 1

        def time(self, loads):
            (_,) = loads
            ms = true.cost(next(ahead)).in_units()['latency_ms']
            yield Timing(ms / 2.0, ms, 2.0, 0)

    monkeypatch.setattr(slice_latency, 'Stand', Stand)

    class Runtime:
        def machine(self):
            return dict(processor='toy', cores=1, threads=1, backend='toy', dtype='float32')

    said = []
    content = measure_slices(space, COUNTED, Runtime(), minutes=1, say=said.append)
    assert content['networks'] == slice_latency.NETWORKS == 24 and '0.0 % off' in said[-1]
    write_json(tmp_path / 'latency.json', content)
    (table,) = read_latency(tmp_path / 'latency.json').tables
    timed = build_cost_model(space, **COUNTED, latency=table.for_costs())
    for arch in (space.full_path, space.smallest_path, space.sample(np.random.default_rng(1))):
        expected = true.cost(arch).in_units()['latency_ms']
        assert timed.cost(arch).in_units()['latency_ms'] == pytest.approx(expected, rel=1e-3)


def test_paths_have_all_sizes_and_choices(space):
    paths = some_paths(space)
    assert paths[0] == space.full_path and len(set(paths)) == len(paths)
    assert {space.input_size(arch) for arch in paths} == {64, 48}
    columns = np.array([space.encode(arch) for arch in paths]).T
    assert [len(set(column)) for column in columns.tolist()] == list(space.sizes)
