"""Costs of a detector's parts, against convolutions counted one by one."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from cream_mm.apis.probe_maps import without_weights
from cream_mm.config.load import load_config
from cream_mm.engine import part_costs
from cream_mm.engine.part_costs import (
    count_parts,
    is_detector,
    on_median_path,
    run_once,
    size_of_tests,
    time_parts,
)
from cream_mm.search import PathSampler
from cream_mm.structures.randomness import weights_drawn

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def build(name, **options):
    cfg = load_config(str(CONFIGS / name), options, check_data=False)
    init_default_scope(cfg.default_scope)
    with weights_drawn(0):  # by some weights, two kernels leave other numbers of boxes
        return cfg, MODELS.build(ConfigDict(without_weights(cfg.model.to_dict())))


def count_convs(model, size):
    """Multiply-adds of convolutions and matrix products by the part that they stand in."""
    found = Counter()

    def count(module, inputs, output):
        length = module.in_features if isinstance(module, nn.Linear) else module.weight[0].numel()
        found[parts[module]] += output.numel() * length

    parts = {m: name.split('.')[0] for name, m in model.named_modules()
             if isinstance(m, (nn.Conv2d, nn.Linear))}  # fmt: skip
    handles = [module.register_forward_hook(count) for module in parts]
    with torch.no_grad():
        run_once(model.eval(), torch.zeros(1, 3, *size))
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize(
    'name',
    [
        'detection/rtmdet-light_cream-287m_coco.py',
        'detection/faster-rcnn_cream-287m_fpn_1x_coco.py',  # whose heads are two
    ],
)
def test_parts_are_their_convolutions(name):
    _, model = build(name)
    size = (64, 96)
    parts, expected = count_parts(model, size), count_convs(model, size)
    assert parts['backbone']['macs_m'] == expected.pop('backbone') / 1e6
    assert parts['neck']['macs_m'] == expected.pop('neck') / 1e6
    # Of two-stage heads some multiply-adds are of no layer of theirs: RoIAlign's.
    assert parts['heads']['macs_m'] == pytest.approx(sum(expected.values()) / 1e6, rel=1e-6)
    for key in ('macs_m', 'params_m'):
        assert sum(parts[p][key] for p in ('backbone', 'neck', 'heads')) == pytest.approx(
            parts['whole'][key]
        )
    assert parts['whole']['params_m'] == sum(p.numel() for p in model.parameters()) / 1e6


def test_the_model_is_left_as_it_was():
    _, model = build('detection/rtmdet-light_cream-287m_coco.py')
    model.train()
    model.neck.eval()  # as a frozen part is
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    count_parts(model, (64, 64))
    ms = time_parts(model, (64, 64))
    assert set(ms) == {'backbone', 'whole'} and min(ms.values()) > 0
    assert model.training and model.backbone.training and not model.neck.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_median_path_of_a_search():
    _, model = build('demo/search_retinanet_digits.py')
    cost = model.backbone.budget.cost_model.cost
    size = (96, 96)
    with on_median_path(model) as arch:
        parts, expected = count_parts(model, size), count_convs(model, size)
    assert parts['backbone']['macs_m'] == expected['backbone'] / 1e6
    budget = model.backbone.budget
    assert budget.is_feasible(arch)
    # In the middle, by the table of the space, of paths that others drew.
    sampler = PathSampler(budget.cost_model.space, budget, seed=7)
    drawn = [cost(sampler.sample(step)).macs for step in range(200)]
    assert 0.3 < sum(macs < cost(arch).macs for macs in drawn) / 200 < 0.7
    with on_median_path(model) as again:
        assert again == arch
    _, plain = build('detection/rtmdet-light_cream-287m_coco.py')
    with on_median_path(plain) as arch:
        assert arch is None and is_detector(plain)
    assert not is_detector(nn.Conv2d(1, 1, 1))


def test_the_median_of_the_runs(monkeypatch):
    """By a clock on which the warm-up takes 50 s, the others 0.1, 0.2, ... s."""
    clock, number = [0.0], [0]

    def run():
        clock[0] += 50 if number[0] == 0 else number[0] / 10
        number[0] += 1

    monkeypatch.setattr(part_costs.time, 'perf_counter', lambda: clock[0])
    assert part_costs._median_ms(run, torch.zeros(1)) == pytest.approx(600)
    assert number[0] == 11
    number[0] = 0
    clock[0] = 0.0
    monkeypatch.setattr(
        part_costs, 'MAX_SECONDS', 0.25
    )  # 0.1 + 0.2 s are more; three are the least
    assert part_costs._median_ms(run, torch.zeros(1)) == pytest.approx(200)
    assert number[0] == 4


def test_which_size():
    assert size_of_tests(dict(input_size=160)) == (160, 160)
    assert size_of_tests(dict(scale=(640, 320))) == (320, 640)
    assert size_of_tests(dict(scale=(1333, 800))) == (800, 1280)
    assert size_of_tests({}) == (800, 1280)
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(416, 300), keep_ratio=True)]
    loader = dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=steps)))
    assert size_of_tests(dict(test_dataloader=loader)) == (300, 416)
