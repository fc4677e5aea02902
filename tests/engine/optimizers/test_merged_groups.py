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
