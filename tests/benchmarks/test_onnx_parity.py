"""The benchmark of ONNX: what it records of a network, that it goes on, its page."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from cream_mm.spaces import build_space
from cream_mm.structures.randomness import named_rng

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(tmp_path):
    found = runpy.run_path(str(ROOT / 'benchmarks/onnx_parity.py'))
    found['run'].__globals__['RESULTS'] = tmp_path / 'onnx.jsonl'  # of all its functions
    return found


def test_a_network_is_compared_where_images_differ(benchmark, monkeypatch):
    run, records = benchmark['run'], benchmark['records']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        run(['nas_bench_201'], 2, None)
        first = records()
        assert [r['number'] for r in first] == [0, 1] and first[0]['arch'] != first[1]['arch']
        assert all(r['difference'] < 1e-5 and r['spread'] > 0.01 for r in first)
        monkeypatch.setitem(run.__globals__, 'parity', None)
        run(['nas_bench_201'], 2, None)  # nothing is left to do
    assert records() == first


def test_rows_that_are_mixed_up_are_found(benchmark):
    space, *sizes = benchmark['SPACES']['nas_bench_201']
    space = build_space(space)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        arch = space.sample(named_rng('onnx_parity', 0, 0))
        model = benchmark['make_model'](arch, space, sizes[0])

    def right(image):
        with torch.no_grad():
            pixels = torch.from_numpy(np.ascontiguousarray(image[:, ::-1]))
            x = model.data_preprocessor(dict(inputs=list(pixels)))['inputs']
            return dict(probabilities=model.head(model.extract_feat(x)).softmax(1).numpy())

    def first_row(image):  # right for one image alone
        return dict(probabilities=right(image)['probabilities'][[0] * len(image)])

    exact, spread, own = benchmark['compare'](model, right, sizes[1])
    assert exact < 1e-5 and 0 < own < 1e-5
    assert benchmark['compare'](model, first_row, sizes[1])[0] >= spread > 0.01


def test_the_page_counts_what_is_above_the_limit(benchmark):
    row = dict(kind='parity', space='nao', spread=0.2, own_error=4e-4, mb=1, cpu_s=1, arch='')
    found = [dict(row, number=i, difference=d) for i, d in enumerate((1e-6, 3e-6, 2e-3))]
    int8 = dict(
        kind='int8', network='Net', setting='int8', metric='top-1', images=9, pct=[90.0, 89.5],
        drop=0.5, ms=[3.0, 1.5], mb=[8.0, 2.0], input=[1, 3, 9, 9], threads=1, processor='X',
        runtime='ort 1',
    )  # fmt: skip
    text = benchmark['page']([*found, int8, json.loads(json.dumps(int8))])
    assert '| nao | 3 | 32 x 32 and 41 x 27 | 2.0e-03 | 3.0e-06 | 0.20 | 1 | 5.0 |' in text
    assert (
        '| float32 | 90.00 | | 3.00 | 1 | 8.0 |\n| int8 | 89.50 | -0.50 | 1.50 | 2.00 | 2.0 |'
        in text
    )
    assert text.count('\nNet: 9 validation images') == 1
