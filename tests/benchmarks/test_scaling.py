import json
import runpy
from pathlib import Path

import pytest

from cream_mm.methods.cream.meta_matching import path_and_head

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def scaling():
    return runpy.run_path(str(ROOT / 'benchmarks/scaling.py'))


def arguments(scaling, **kwargs):
    args = scaling['parse_args']([])
    vars(args).update(
        dict(
            step_seconds=0.5, batch=128, epochs=120, gpus_per_node=8, bandwidth_in_node=50e9,
            bandwidth=10e9, latency=1e-5, rating_seconds=30.0, rated_paths=30,
        ),
        **kwargs,
    )  # fmt: skip
    return args


def test_the_cost_model(scaling):
    args = arguments(scaling)
    in_node, between = (scaling['all_reduce_seconds'](100e6, n, args) for n in (8, 16))
    assert in_node == pytest.approx(2 * 7 / 8 * 100e6 / 50e9 + 2 * 3 * 1e-5)
    assert between == pytest.approx(2 * 15 / 16 * 100e6 / 10e9 + 2 * 4 * 1e-5)
    # 1,255,544 images are trained on: 613.1, so 614 steps of 2048 an epoch; 30 paths on 16 ranks.
    expected = 120 * 614 * (0.5 + between) + 2 * 30
    assert scaling['search_seconds'](16, 100e6, args) == pytest.approx(expected)


def test_defaults_are_of_the_config(scaling):
    args = scaling['parse_args']([])
    assert (args.batch, args.epochs, args.rated_paths) == (128, 120, 30)
    # 12 * 86400 / 8 seconds for 120 * 1252 steps
    assert args.step_seconds == pytest.approx(129600 / 150240)


def test_bytes_are_those_of_the_gradients(scaling):
    model, sampler = scaling['build'](size=64)
    model.backbone.set_arch(sampler.sample(0))
    size = scaling['path_bytes'](model)
    assert size == 4 * sum(p.numel() for p in path_and_head(model).values())
    counted = scaling['count'](3)
    # 28.86 M parameters in the supernet and the head, four bytes each
    assert counted['supernet_bytes'] == pytest.approx(115.4e6, rel=1e-3)
    assert 20e6 < counted['path_bytes_min'] <= counted['path_bytes_max'] < 35e6


@pytest.mark.parametrize('options', [[], ['--step-seconds', '0.1']])
def test_the_tables_of_the_page(scaling, options):
    counted = json.loads((ROOT / 'docs/results/scaling.json').read_text())['counted']
    page = (ROOT / 'docs/scaling.md').read_text()
    rows = scaling['table'](counted, scaling['parse_args'](options))
    assert [row['gpus'] for row in rows] == [8, 16, 32, 64, 128, 256]
    for row in rows:
        path, supernet = row['path'], row['supernet']
        cells = [
            f'{path[key]:{width}}, {supernet[key]:{width}}'
            for key, width in (('all_reduce_ms', '.1f'), ('hours', '.2f'), ('gpu_days', '.2f'))
        ]
        assert f'| {row["gpus"]} | {row["global_batch"]} | {" | ".join(cells)} |' in page
    assert f'{counted["path_bytes"] / 1e6:.1f} MB' in page
    assert f'{counted["supernet_bytes"] / 1e6:.1f} MB' in page
