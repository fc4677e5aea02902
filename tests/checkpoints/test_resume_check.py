"""State that does not fit is refused before any of it is loaded."""

import copy

import pytest
import torch
from mmengine.optim import (
    AmpOptimWrapper,
    CosineAnnealingLR,
    MultiStepLR,
    OptimWrapper,
    OptimWrapperDict,
)
from torch import nn

from cream_mm.checkpoints.resume_check import check_optimizer, check_resumable
from cream_mm.checkpoints.whole_file import to_plain

OPTIMIZERS = {
    'SGD': lambda params: torch.optim.SGD(params, 0.1, momentum=0.9),
    'AdamW': lambda params: torch.optim.AdamW(params, 0.1, amsgrad=True),
    'RMSprop': lambda params: torch.optim.RMSprop(params, 0.1, momentum=0.9, centered=True),
    'Adagrad': lambda params: torch.optim.Adagrad(params, 0.1),
    'Adamax': lambda params: torch.optim.Adamax(params, 0.1),
}


def trained(make=OPTIMIZERS['SGD']):
    """Model, wrapper and schedulers after a step, in two groups of parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    groups = [dict(params=list(part.parameters()), weight_decay=i) for i, part in enumerate(model)]
    wrapper = OptimWrapper(make(groups))
    schedulers = [CosineAnnealingLR(wrapper, T_max=9), MultiStepLR(wrapper, milestones=[2, 4])]
    wrapper.update_params(model(torch.rand(4, 3)).square().sum())
    for scheduler in schedulers:
        scheduler.step()
    return model, wrapper, schedulers


def saved(model, wrapper, schedulers):
    content = dict(
        meta=dict(epoch=1, iter=4, seed=3),
        state_dict=dict(model.state_dict()),
        ema_state_dict={f'module.{k}': v for k, v in model.state_dict().items()},
        optimizer=wrapper.state_dict(),
        param_schedulers=[scheduler.state_dict() for scheduler in schedulers],
    )
    return to_plain(copy.deepcopy(content))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_its_own_state_fits(name):
    content = saved(*trained(OPTIMIZERS[name]))
    check_resumable(content, *trained(OPTIMIZERS[name]))
    model, wrapper, schedulers = trained(OPTIMIZERS[name])
    wrapper.load_state_dict(content['optimizer'])
    check_resumable(saved(model, wrapper, schedulers), model, wrapper, schedulers)
    del content['optimizer'], content['param_schedulers'], content['ema_state_dict']
    check_resumable(content, model, wrapper, None)  # what is not there is not restored


def test_what_another_release_or_schedule_changes_is_let_through():
    model, wrapper, schedulers = trained()
    content = saved(model, wrapper, schedulers)
    for group in content['optimizer']['param_groups']:
        del group['foreach'], group['maximize']
        group['new_switch'] = True
    content['param_schedulers'][0]['curve'] = 'sine'
    content['param_schedulers'].pop()
    check_resumable(content, model, wrapper, schedulers)


def put(path, value):
    def edit(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        content[last] = value

    return edit


GROUP, STATE = ('optimizer', 'param_groups', 1), ('optimizer', 'state', 0)
EDITS = {
    'epoch': put(('meta', 'epoch'), 'one'),
    'seed': put(('meta', 'seed'), [1]),
    'state_dict': put(('state_dict',), 5),
    'state_dict.0.weight': put(('state_dict', '0.weight'), torch.zeros(2, 4)),
    'state_dict.1.bias': put(('state_dict', '1.bias'), 'x'),
    'ema_state_dict.module.0.weight': put(('ema_state_dict', 'module.0.weight'), torch.zeros(1)),
    'optimizer': put(('optimizer',), [1]),
    'optimizer.param_groups': put(('optimizer', 'param_groups'), [{}]),
    'optimizer.param_groups.1': put(GROUP, 3),
    'optimizer.param_groups.1.params': put((*GROUP, 'params'), [2]),
    'optimizer.param_groups.1.lr': put((*GROUP, 'lr'), '0.1'),
    'optimizer.param_groups.1.weight_decay': put((*GROUP, 'weight_decay'), float('nan')),
    'optimizer.param_groups.1.momentum': lambda content: content['optimizer']['param_groups'][
        1
    ].pop('momentum'),
    'optimizer.param_groups.1.nesterov': put((*GROUP, 'nesterov'), [1]),
    'optimizer.state': put(('optimizer', 'state'), 'x'),
    'optimizer.state.0': put(STATE, 7),
    'optimizer.state.0.momentum_buffer': put((*STATE, 'momentum_buffer'), torch.zeros(2**10)),
    'optimizer.base_param_settings.lr': put(('optimizer', 'base_param_settings', 'lr'), 'x'),
    'param_schedulers': put(('param_schedulers',), 5),
    'param_schedulers.0': put(('param_schedulers', 0), 'x'),
    'param_schedulers.0.step': put(('param_schedulers', 0, 'step'), 'x'),
    'param_schedulers.0.optimizer': put(('param_schedulers', 0, 'optimizer'), 1),
    'param_schedulers.0.param_name': put(('param_schedulers', 0, 'param_name'), 'params'),
    'param_schedulers.0.last_step': put(('param_schedulers', 0, 'last_step'), 10**400),
    'param_schedulers.1.base_values': put(('param_schedulers', 1, 'base_values'), ['x']),
    'param_schedulers.1.milestones': put(('param_schedulers', 1, 'milestones'), 4),
}


@pytest.mark.parametrize('where', EDITS)
def test_what_does_not_fit(where):
    parts = trained()
    content = saved(*parts)
    EDITS[where](content)
    expected = 'at which epoch' if where == 'epoch' else f'"{where}" is '
    with pytest.raises(ValueError) as error:
        check_resumable(content, *parts)
    assert expected in str(error.value) and len(str(error.value)) < 250


def test_pairs_of_numbers():
    _, wrapper, _ = trained(OPTIMIZERS['AdamW'])
    state = to_plain(copy.deepcopy(wrapper.optimizer.state_dict()))
    for betas in ((0.9,), 0.9, ('a', 'b'), None):
        state['param_groups'][0]['betas'] = betas
        with pytest.raises(ValueError, match='betas'):
            check_optimizer(state, wrapper.optimizer)
    state['param_groups'][0]['betas'] = [0.9, 0.99]
    check_optimizer(state, wrapper.optimizer)


def test_several_optimizers():
    model, one, schedulers = trained()
    both = OptimWrapperDict(a=one, b=trained()[1])
    content = saved(model, both, [])
    content['param_schedulers'] = dict(a=[s.state_dict() for s in schedulers])
    check_resumable(content, model, both, dict(a=schedulers))
    content['optimizer']['b']['state'] = 5
    with pytest.raises(ValueError, match='"optimizer.b.state" is 5'):
        check_resumable(content, model, both, dict(a=schedulers))
    with pytest.raises(ValueError, match='"param_schedulers" is'):
        del content['optimizer']
        check_resumable(content, model, both, dict(b=schedulers))


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='no scaler for the CPU')
def test_the_scale_of_a_scaler(monkeypatch):
    place = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{place}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{place}.GradScaler', lambda: torch.amp.GradScaler('cpu'))
    model, wrapper, _ = trained()
    amp = AmpOptimWrapper(optimizer=wrapper.optimizer)
    content = saved(model, amp, [])
    check_resumable(content, model, amp, None)
    content['optimizer']['loss_scaler']['scale'] = 'x'
    with pytest.raises(ValueError, match='"optimizer.loss_scaler.scale" is'):
        check_resumable(content, model, amp, None)
