"""What docs/results/nb201_baselines.json says, and how the effects in it were fitted."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.spaces import NASBench201Space

ROOT = Path(__file__).resolve().parents[2]
SPACE = NASBench201Space()


@pytest.fixture(scope='module')
def script():
    return SimpleNamespace(
        **runpy.run_path(str(ROOT / 'benchmarks/ranking/nb201_baselines.py'), run_name='script')
    )


def test_recorded_figures_are_those_of_others():
    content = json.loads((ROOT / 'docs/results/nb201_baselines.json').read_text())
    golden = json.loads((ROOT / 'tests/data/close/space.json').read_text())
    assert [content[group]['num'] for group in ('all_cells', 'classes', 'trainable_classes')] == [
        golden['n_all'], golden['released_n'], golden['released_with_conv_on_live_path']
    ]  # fmt: skip
    found, theirs = content['classes']['cifar10'], golden['gt_check']
    # Theirs are costs and 12 epochs of another member of each class, drawn at random.
    for key, name in (('kendall', 'kendall_tau'), ('spearman', 'spearman')):
        assert found['params'][key] == pytest.approx(theirs['params_vs_gt'][name], abs=5e-4)
    assert found['params']['top']['5'] == pytest.approx(0.285, abs=0.005)
    tau = found['epochs_12']['kendall']
    assert tau == pytest.approx(theirs['12epoch_cifar10_test_vs_gt_6466'], abs=2e-3)
    # what shared/data/README.md says of all 15,625
    found = content['all_cells']['cifar10']
    assert found['params']['kendall'] == pytest.approx(0.577, abs=1e-3)
    assert round(found['epochs_12']['kendall'], 3) == 0.700
    assert round(found['single_effects']['kendall'], 3) == 0.515


def test_effects_fit_what_is_additive(script):
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(400)]
    flat = np.array([SPACE.encode(arch) for arch in archs])
    alone, together = script.one_hot(archs, 1), script.one_hot(archs, 2)
    assert alone.shape == (400, 6 * 5) and together.shape == (400, 15 * 25)
    assert (alone.sum(axis=1) == 6).all() and (together.sum(axis=1) == 15).all()
    values = rng.normal(size=(6, 5))
    truth = sum(values[edge, flat[:, edge]] for edge in range(6))
    for x, target, exact in (
        (alone, truth, True),
        (alone, 1.0 * (flat[:, 0] == flat[:, 5]), False),
        (together, 1.0 * (flat[:, 0] == flat[:, 5]), True),
    ):
        fitted = x @ np.linalg.lstsq(x, target, rcond=None)[0]
        assert np.allclose(fitted, target, atol=1e-6) == exact


def test_scores_that_cost_no_training(script):
    idle = '|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|'
    found = script.scores_of([SPACE.parse(idle), SPACE.decode([3] * 6)])
    assert found['params'].tolist() == [73_306 + 28_000 + 243_040, 1_531_546]
    assert found['convolutions'].tolist() == [2, 6]
    assert found['live_convolutions'].tolist() == [1, 6]


def test_tables_are_read(script, tmp_path):
    cell = '|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|'
    path = tmp_path / 'table.csv'
    path.write_text(f'arch,cellstr,a-test\n7,{cell},12.5\n')
    assert script.read_table(path) == {SPACE.parse(cell): {'a-test': 12.5}}
