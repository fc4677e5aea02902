import pytest
import torch
from mmengine.optim import build_optim_wrapper

from cream_mm.testing import tiny_cream


def optimizer_of(model, constructor):
    cfg = dict(
        optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
        constructor=constructor,
    )
    return build_optim_wrapper(model, cfg).optimizer


def test_two_groups_make_the_same_step_as_hundreds():
    torch.manual_seed(0)
    first, second = tiny_cream(), tiny_cream()
    second.load_state_dict(first.state_dict())
    many = optimizer_of(first, 'DefaultOptimWrapperConstructor')
    few = optimizer_of(second, 'cream_mm.MergedGroupsConstructor')
    assert len(few.param_groups) == 2 < len(many.param_groups)
    assert {g['weight_decay'] for g in few.param_groups} == {0.0, 0.1}
    counted = sorted(id(p) for g in few.param_groups for p in g['params'])
    assert counted == sorted(id(p) for p in second.parameters())

    for model, optimizer in ((first, many), (second, few)):
        for param in model.parameters():
            param.grad = param.detach() * 0.5
        optimizer.step()
    ours = dict(second.named_parameters())
    assert all(torch.equal(param, ours[name]) for name, param in first.named_parameters())


def test_a_shared_parameter_is_stepped_once():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.weight = first.weight
    optimizer = optimizer_of(torch.nn.Sequential(first, second), 'cream_mm.MergedGroupsConstructor')
    params = [param for group in optimizer.param_groups for param in group['params']]
    assert sorted(map(id, params)) == sorted(map(id, (first.weight, first.bias, second.bias)))


def test_rates_by_the_beginning_of_a_name():
    """The longest beginning counts, and norms and biases keep their own decay."""
    model = tiny_cream()
    cfg = dict(
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1),
        paramwise_cfg=dict(
            norm_decay_mult=0.0, bias_decay_mult=0.0,
            rates={'backbone.': 0.5, 'backbone.blocks.1.': 0.25},
        ),
        constructor='cream_mm.MergedGroupsConstructor',
    )  # fmt: skip
    names = {id(p): name for name, p in model.named_parameters()}
    seen = set()
    for group in build_optim_wrapper(model, cfg).optimizer.param_groups:
        for param in group['params']:
            name = names[id(param)]
            first = name.startswith('backbone.blocks.1.')
            rate = 0.025 if first else 0.05 if name.startswith('backbone.') else 0.1
            assert group['lr'] == pytest.approx(rate), name
            assert group['weight_decay'] == (0.1 if param.ndim > 1 else 0), name
            seen.add(rate)
    assert seen == {0.025, 0.05, 0.1}
    cfg['paramwise_cfg']['rates'] = {'backbone.block.': 0.5}
    with pytest.raises(ValueError, match="begins with \\['backbone.block.'\\]"):
        build_optim_wrapper(model, cfg)
