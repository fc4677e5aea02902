"""Rates by depth against their closed form, in classifiers, detectors and all kinds of networks."""

import re

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.scheduler import CosineAnnealingLR, LinearLR
from mmpretrain.registry import MODELS
from torch import nn

from cream_mm.engine.optimizers.layer_decay import layer_depths
from cream_mm.models import CreamNet, NAONet, NASBench201Net
from cream_mm.spaces import NAOSpace, NASBench201Space
from cream_mm.structures.randomness import named_rng
from cream_mm.testing import tiny_cream

LR, RATE = 0.1, 0.8


def wrapper_of(model, **paramwise):
    cfg = dict(
        optimizer=dict(type='AdamW', lr=LR, weight_decay=0.05),
        constructor='cream_mm.LayerDecayConstructor',
        paramwise_cfg=dict(layer_decay_rate=RATE, **paramwise),
    )
    return build_optim_wrapper(model, cfg)


def settings_of(model, wrapper):
    """Rate and decay by name."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


def lite_depth(name: str) -> int:
    """Of Lite0: a stem, then stages of 1, 2, 2, 3, 3, 4, 1 layers, then all else."""
    if match := re.match(r'backbone\.blocks\.(\d)\.(\d)\.', name):
        stage, layer = map(int, match.groups())
        return 1 + sum((1, 2, 2, 3, 3, 4, 1)[:stage]) + layer
    return 0 if name.startswith('backbone.') else 17


@pytest.mark.parametrize('around', ['classifier', 'detector'])
def test_rates_of_lite0(around):
    model = nn.Module()
    model.backbone = CreamNet('lite0')
    if around == 'classifier':
        model.head = nn.Linear(320, 3)
    else:
        model.neck, model.bbox_head = nn.Conv2d(320, 8, 1), nn.Conv2d(8, 4, 3)
    found = settings_of(model, wrapper := wrapper_of(model))
    for name, param in model.named_parameters():
        decay = 0.05 if param.ndim > 1 else 0.0  # norms and biases have none
        assert found[name] == pytest.approx((LR * RATE ** (17 - lite_depth(name)), decay)), name
    assert len(wrapper.optimizer.param_groups) == 2 * 18  # not one for each of 150


def test_rates_of_parts_come_on_top():
    model = tiny_cream()
    plain = settings_of(model, wrapper_of(model))
    found = settings_of(model, wrapper_of(model, rates={'head.': 0.5, 'backbone.': 0.25}))
    for name, (lr, _) in plain.items():
        factor = dict(backbone=0.25, head=0.5).get(name.split('.')[0], 1.0)
        assert found[name][0] == pytest.approx(factor * lr)


def test_a_relative_schedule_keeps_them_apart():
    model = tiny_cream()
    wrapper = wrapper_of(model)
    before = settings_of(model, wrapper)
    schedules = [
        LinearLR(wrapper, start_factor=0.1, end=5, by_epoch=False),
        CosineAnnealingLR(wrapper, T_max=20, eta_min_ratio=0.1, begin=5, by_epoch=False),
    ]
    for _ in range(12):
        for schedule in schedules:
            schedule.step()
    after = settings_of(model, wrapper)
    ratios = {after[name][0] / before[name][0] for name in before}
    assert max(ratios) == pytest.approx(min(ratios)) and 0.1 < max(ratios) < 1


@pytest.mark.parametrize(
    'net, space, first, layers',
    [(NASBench201Net, NASBench201Space(), 'stem', 17), (NAONet, NAOSpace(), 'stem', 20)],
)
def test_networks_of_cells(net, space, first, layers):
    arch = space.sample(named_rng('layer-decay', 0, 0))
    network = net(arch, space=space.of_network(arch).to_dict())
    depths, last = layer_depths(network)
    cells = {int(name.split('.')[1]) for name in depths if name.startswith('cells.')}
    for name, depth in depths.items():
        if name.startswith('cells.'):  # a cell may hold no weights: counted are those that do
            assert depth == 1 + sorted(cells).index(int(name.split('.')[1]))
        else:
            assert depth == (0 if name.startswith(first) else len(cells)), name
    assert last == len(cells) + 1 <= layers + 1


def test_backbones_of_mmpretrain_tell_their_own():
    cfg = dict(type='ConvNeXt', arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 8, 8]))
    model = nn.Module()
    model.backbone, model.head = MODELS.build(cfg), nn.Linear(8, 2)
    found = settings_of(model, wrapper_of(model))
    depth, count = model.backbone.get_layer_depth('stages.0.0.pointwise_conv1.weight')
    lr = found['backbone.stages.0.0.pointwise_conv1.weight'][0]
    assert lr == pytest.approx(LR * RATE ** (count - 1 - depth))
    assert found['head.weight'][0] == pytest.approx(LR)


def test_a_backbone_without_layers_is_refused():
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
    with pytest.raises(ValueError, match='layers of a Sequential.*MergedGroupsConstructor'):
        wrapper_of(model)


def test_it_is_resumed():
    """The groups are the same in number and order, and a state dict brings the same rates."""
    torch.manual_seed(0)
    first, second = tiny_cream(), tiny_cream()
    one, two = wrapper_of(first), wrapper_of(second)
    for group in one.optimizer.param_groups:
        group['lr'] *= 0.3
    two.load_state_dict(one.state_dict())
    assert settings_of(second, two) == settings_of(first, one)
