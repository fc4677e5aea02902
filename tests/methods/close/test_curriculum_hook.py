"""The curriculum: golden switches, schedule and steps; its options; what goes with a switch."""

import copy
import hashlib
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import cell_supernet_key, golden_fill, golden_image
from mmengine.hooks import EMAHook, ParamSchedulerHook
from mmengine.optim import LinearLR, OptimWrapper, OptimWrapperDict
from torch import nn

from cream_mm.engine import TrainLossPlateauLR
from cream_mm.engine.hooks import TrainLossHook
from cream_mm.methods.close.curriculum_hook import CurriculumHook, epochs_of
from cream_mm.models import CreamSupernet, NASBench201Supernet
from cream_mm.spaces.nas_bench_201 import EDGES
from cream_mm.testing import tiny_space

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/close/training.json').read_text())
SMALL_GATE = dict(op_dim=2, node_dim=2, hidden_dim=4, gcn_dims=(4, 4), mlp_dims=(6,), dropout=0)
SMALL = dict(channels=2, num_cells=1)
ARCH = [3, 3, 2, 1, 3, 3]


class Net(nn.Module):
    """A supernet and what a released one calls its classifier."""

    def __init__(self, backbone, channels):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x):
        return self.classifier(self.backbone(x)[-1].mean((2, 3)))


def released_key(key):
    return cell_supernet_key(key.removeprefix('backbone.'))


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def golden_net(**settings):
    """CLOSENet in float64, filled; what the gate's other nodes begin with stays zero."""
    router = dict(type='cream_mm.GATESRouter', noise=False, dropout=0.0)
    net = Net(NASBench201Supernet(router=router, **settings), 64).double()
    refill(net)
    return net


def refill(net):
    state = net.state_dict()
    kept = ('router.active', 'other_node_emb')
    own = {key: value for key, value in state.items() if not key.endswith(kept)}
    net.load_state_dict({**state, **golden_fill(own, released_key)})


def small_net(**settings):
    torch.manual_seed(0)
    router = dict(type='cream_mm.GATESRouter', **SMALL_GATE, **settings)
    return Net(NASBench201Supernet(SMALL, router=router), 8)


class Run:
    """What hooks see of a Runner, and the order in which it calls them."""

    def __init__(self, net, *hooks, max_epochs=1000, schedule='plateau', resume=False, **optim):
        self.model, self.hooks, self._resume = net, list(hooks), resume
        sgd = torch.optim.SGD(
            net.parameters(), **{'lr': 0.05, 'momentum': 0.9, 'weight_decay': 5e-4, **optim}
        )
        self.optim_wrapper = OptimWrapper(sgd, clip_grad=dict(max_norm=5))
        self.param_schedulers = None
        if schedule == 'plateau':
            self.param_schedulers = [TrainLossPlateauLR(self.optim_wrapper)]
        elif schedule:
            self.param_schedulers = [schedule(self.optim_wrapper)]
        self.max_epochs, self.max_iters = max_epochs, max_epochs
        self.epoch = self.iter = 0
        self.seed = 3
        self.logger = logging.getLogger('run')
        self.message_hub = SimpleNamespace(update_scalar=lambda name, value: None)
        self.call('before_run')

    def call(self, name, **kwargs):
        for hook in self.hooks:
            getattr(hook, name)(self, **kwargs)

    @property
    def lr(self):
        return self.optim_wrapper.param_groups[0]['lr']

    def begin_epoch(self, epoch):
        self.epoch = epoch - 1
        self.call('before_train_epoch')

    def step(self, loss=None):
        """One step; without a loss it is that of an image, and the path is trained."""
        self.call('before_train_iter', batch_idx=0)
        if loss is None:
            x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(self.iter))
            loss = self.model.train()(x.to(self.model.classifier.weight)).square().mean()
            loss.backward()
        self.optim_wrapper.step()
        self.call('after_train_iter', batch_idx=0, outputs=dict(loss=torch.as_tensor(loss)))
        self.iter += 1

    def end_epoch(self):
        self.call('after_train_epoch')


@pytest.fixture
def router():
    """Of the net that a test makes."""
    return lambda run: run.model.backbone.router


# ---- golden ------------------------------------------------------------------------------------


def test_four_switches_change_what_the_released_ones_change():
    golden = GOLDEN['wit']
    net = golden_net()
    arch = net.backbone.space.parse(golden['arch'])
    state = net.state_dict()
    for key, value in state.items():
        name = released_key(key)
        if '.c_' in name and key.endswith('num_batches_tracked'):
            value.fill_(10 * int(name.split('.c_')[1].split('.')[0]))
    hook = CurriculumHook((1, 201, 401, 601, 801), (401,))
    run = Run(net, hook)
    run.call('before_train')
    run.begin_epoch(1)
    objects = dict(net.named_parameters())
    for switch in golden['switches']:
        before = {released_key(k): v.clone() for k, v in net.state_dict().items()}
        logits = net.backbone.router.logits(arch)
        old = net.backbone.num_active
        run.begin_epoch(switch['epoch'])
        after = {released_key(k): v for k, v in net.state_dict().items()}
        assert (old, net.backbone.num_active) == (switch['k_before'], switch['k_after'])
        changed = [k for k in before if not torch.equal(before[k], after[k]) and k != 'active']
        assert len(changed) == switch['n_changed_state_dict_entries'] == 122
        text = '\n'.join(sorted(changed))
        assert hashlib.sha256(text.encode()).hexdigest() == switch['changed_sha256']
        for name, values in switch['tensors'].items():
            for which, tensors in (('before', before), ('after', after)):
                tensor = tensors[name].double().flatten()
                first = exact(values[f'{which}_first5'])
                assert (tensor[:5] - first).abs().max() < 1e-12
                assert abs(float(tensor.sum()) - values[f'{which}_sum']) < 1e-11
        gate = switch['gate_last_layer']
        for row, rows in ((old - 1, gate['weight_row_prev_first5']),
                          (old, gate['weight_row_new_first5'])):  # fmt: skip
            for tensors, values in zip((before, after), rows):
                found = tensors['mlp.3.weight'][row, :5]
                assert (found - exact(values)).abs().max() < 1e-12
        for tensors, which in ((before, 'bias_before'), (after, 'bias_after')):
            found = tensors['mlp.3.bias']
            assert (found - exact(gate[which])).abs().max() < 1e-12
        for scores, active, name in (
            (logits, old, 'gate_logits_before'),
            (net.backbone.router.logits(arch), old + 1, 'gate_logits_after'),
        ):
            for (source, target), row in zip(EDGES, scores[:, :active]):
                values = exact(switch[name][f'{source}->{target}'])
                assert (row - values).abs().max() < 1e-10
    assert all(objects[name] is p for name, p in net.named_parameters())
    end = copy.deepcopy(net.state_dict())
    run.begin_epoch(801)  # the released code adds a second time
    assert all(torch.equal(value, end[key]) for key, value in net.state_dict().items())


LOSSES = dict(
    no_plateau=lambda e: 3 * 0.999**e,
    constant_loss=lambda e: 1.0,
    sawtooth=lambda e: [2.0, 1.8, 1.6, 1.4, 1.2][(e - 1) // 200] * 0.99 ** ((e - 1) % 200),
    step_up_at_401=lambda e: 0.999**e if e <= 400 else 2 * 0.999 ** (e - 400),
)


@pytest.mark.parametrize('name', LOSSES)
def test_a_thousand_epochs_are_the_released_ones(name):
    hook = CurriculumHook(blind=True)
    run = Run(small_net().double(), hook, TrainLossHook(), ParamSchedulerHook())
    run.call('before_train')
    last = run.model.backbone.router.mlp[-1]
    (plateau,) = run.param_schedulers
    optimizer, rows, previous = run.optim_wrapper.optimizer, [], None
    for epoch in range(1, 1001):
        optimizer.state['mark'] = dict(here=True)
        row_before = last.weight.detach().clone()
        run.begin_epoch(epoch)
        row = dict(
            epoch=epoch,
            k=run.model.backbone.num_active,
            lr=run.lr,
            optimizer_recreated='mark' not in optimizer.state,
            scheduler_best=None if plateau.last_loss is None else plateau.best,
            scheduler_last_epoch=plateau.last_step + 1,
            gate_last_layer_replaced=not torch.equal(last.weight, row_before),
        )
        for param in last.parameters():
            param.grad = torch.ones_like(param)
        before = last.bias.detach().clone()
        run.step(loss=torch.tensor(LOSSES[name](epoch), dtype=torch.float64))
        row['gate_last_layer_in_optimizer'] = not torch.equal(last.bias, before)
        run.end_epoch()
        what = {k: v for k, v in row.items() if not k.startswith(('epoch', 'scheduler'))}
        if what != previous:
            rows.append(row)
        previous = what
    golden = GOLDEN['schedule'][name]
    assert [row['epoch'] for row in rows] == [row['epoch'] for row in golden]
    for ours, theirs in zip(rows, golden):
        best = theirs['scheduler_best']
        theirs = dict(theirs, scheduler_best=best and pytest.approx(best, rel=1e-12))
        assert ours == dict(theirs, lr=pytest.approx(theirs['lr'], rel=1e-12))


def test_two_training_steps_are_the_released_ones():
    net = golden_net(unchosen='zero').train()
    net.backbone.router.active.fill_(3)
    run = Run(net, CurriculumHook((1,), ()))
    run.call('before_train')
    run.begin_epoch(1)
    names = {released_key(name): p for name, p in net.named_parameters()}
    wrapper = run.optim_wrapper
    for golden, tolerance in zip(GOLDEN['steps'], (1e-6, 1e-4)):
        wrapper.zero_grad(set_to_none=False)
        arch = net.backbone.space.parse(golden['arch'])
        net.backbone.set_arch(arch)
        onehot = net.backbone.router.weights(arch)
        for (source, target), row in zip(EDGES, onehot.detach()):
            expected = exact(golden['gate_onehot'][f'{source}->{target}'])
            assert (row - expected).abs().max() < 1e-15
        loss = nn.functional.cross_entropy(net(golden_image(32, 4)), torch.tensor([3, 1, 4, 1]))
        loss.backward()
        assert float(loss.detach()) == pytest.approx(golden['loss'], abs=tolerance)
        grads = {name: p.grad for name, p in names.items()}
        absent = [name for name, grad in grads.items() if grad is None]
        assert len(absent) + 1 == golden['n_params_grad_none']  # theirs: the zero embedding, too
        nothing = [n for n, g in grads.items() if g is None or not g.any()]
        assert len(nothing) + 1 == golden['n_params_grad_none_or_zero']
        squares = sum(g.square().sum() for g in grads.values() if g is not None)
        assert float(squares.sqrt()) == pytest.approx(
            golden['grad_norm_before_clip'], rel=tolerance
        )
        for name, values in golden['grads'].items():
            assert (grads[name] is None) == (values is None), name
            if values is not None:
                first = exact(values['first3'])
                assert (grads[name].flatten()[:3] - first).abs().max() < tolerance, name
                assert float(grads[name].norm()) == pytest.approx(values['norm'], abs=tolerance)
                if values['row_norms'] is not None:
                    rows = grads[name].flatten(1).norm(dim=1) if grads[name].dim() > 1 else (
                        grads[name].abs())  # fmt: skip
                    assert (rows - exact(values['row_norms'])).abs().max() < tolerance
        wrapper.step()
        for name, values in golden['after'].items():
            first = exact(values['first3'])
            assert (names[name].detach().flatten()[:3] - first).abs().max() < tolerance, name
            total = float(names[name].detach().sum())
            assert total == pytest.approx(values['sum'], abs=10 * tolerance), name
        buffers = {released_key(name): b for name, b in net.named_buffers()}
        for name, values in golden['buffers_after'].items():
            assert (buffers[name][:3] - exact(values)).abs().max() < tolerance


# ---- a switch, and what goes with it -----------------------------------------------------------


def started(*hooks, net=None, **settings):
    """A run whose first epoch has had a step, and so has momentum."""
    run = Run(net or small_net(), *hooks, **settings)
    run.model.backbone.set_arch(run.model.backbone.space.parse(ARCH))
    run.call('before_train')
    run.begin_epoch(1)
    run.step()
    run.optim_wrapper.zero_grad()
    return run


def tensors(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def banks(net, number):
    return [cell.banks[number] for cell in net.backbone.cells if hasattr(cell, 'banks')]


@pytest.mark.parametrize('weights', [True, False])
@pytest.mark.parametrize('gate', [True, False])
def test_inheritance_can_be_left_out(weights, gate):
    run = started(CurriculumHook((1, 3), (), inherit=weights, inherit_gate=gate))
    before = tensors(run.model)
    run.begin_epoch(3)
    assert run.model.backbone.num_active == 2
    changed = {k for k, v in run.model.state_dict().items() if not torch.equal(v, before[k])}
    of_banks = {k for k in changed if '.banks.1.' in k}
    of_gate = {f'backbone.router.mlp.1.{name}' for name in ('weight', 'bias')}
    assert changed - {'backbone.router.active'} == of_banks | (of_gate if gate else set())
    assert len(of_banks) == (3 * 2 * 4 if weights else 0)
    assert run.model.backbone.router.active.item() == 2


@pytest.mark.parametrize('keep', [False, True])
def test_momentum_of_the_row_that_is_replaced(keep):
    run = started(CurriculumHook((1, 1, 3), (), keep_momentum=keep))
    last = run.model.backbone.router.mlp[-1]
    state = run.optim_wrapper.optimizer.state
    for param in last.parameters():
        state[param]['momentum_buffer'].copy_(torch.arange(param.numel()).view_as(param) + 1)
    before = {param: state[param]['momentum_buffer'].clone() for param in last.parameters()}
    run.begin_epoch(3)
    for param in last.parameters():
        expected = before[param].clone()
        if not keep:
            expected[2] = 0
        assert torch.equal(state[param]['momentum_buffer'], expected)


def test_a_restart_begins_anew_what_an_optimizer_knows():
    def linear(wrapper):
        return LinearLR(wrapper, start_factor=0.5, end=10)

    run = started(CurriculumHook((1, 4), (4,)), ParamSchedulerHook(), schedule=linear, lr=0.8)
    rates = []
    for epoch in range(1, 8):
        if epoch > 1:
            run.begin_epoch(epoch)
        state = dict(run.optim_wrapper.optimizer.state)
        assert bool(state) == (epoch != 4)
        rates.append(run.lr)
        run.step()
        run.end_epoch()
    assert rates[:3] == rates[3:6] and rates[0] == 0.4 and rates[6] > rates[5] > rates[4]
    assert {group['initial_lr'] for group in run.optim_wrapper.param_groups} == {0.8}


def test_a_restart_need_not_be_a_switch():
    run = started(CurriculumHook((1,), (3,)), TrainLossHook(), ParamSchedulerHook())
    run.end_epoch()
    for epoch in (2, 3, 4):
        before = dict(run.optim_wrapper.optimizer.state)
        run.begin_epoch(epoch)
        assert bool(before) and bool(run.optim_wrapper.optimizer.state) == (epoch != 3)
        run.step()
        run.end_epoch()
    # From -1 on: the loss of epoch 2, with which it began anew, and those of 3 and 4.
    assert run.param_schedulers[0].last_step == 2


@pytest.mark.parametrize(('reset', 'rate'), [(False, 0.025), (True, 0.05)])
def test_whether_a_switch_makes_a_schedule_forget_the_best_loss(reset, rate):
    """The loss rises at the switch and falls from there: a plateau only for who remembers."""
    hook = CurriculumHook((1, 5), (), reset_plateau=reset)
    run = Run(small_net(), hook, TrainLossHook(), ParamSchedulerHook())
    run.param_schedulers[0].patience = 3
    run.call('before_train')
    for epoch in range(1, 11):
        run.begin_epoch(epoch)
        for param in run.model.parameters():
            param.grad = None
        run.step(loss=torch.tensor((0.9 if epoch < 5 else 1.8) * 0.99**epoch))
        run.end_epoch()
    assert run.lr == rate


def test_the_released_optimizer_does_not_see_what_was_replaced():
    """From a switch to the next restart; its gradient counts in the norm that is clipped."""
    nets, norms = {}, {}
    for blind in (False, True):
        hook = CurriculumHook((1, 2), (4,), blind=blind)
        run = started(hook, TrainLossHook(), ParamSchedulerHook())
        run.end_epoch()
        last = run.model.backbone.router.mlp[-1]
        for epoch in (2, 3, 4):
            run.begin_epoch(epoch)
            values = copy.deepcopy(last.state_dict())
            for param in run.model.parameters():
                param.grad = torch.full_like(param, 0.1)
            last.weight.grad.fill_(40.0)
            run.step(loss=torch.tensor(1.0))
            still = all(torch.equal(v, values[k]) for k, v in last.state_dict().items())
            assert still == (blind and epoch < 4)
            run.end_epoch()
            nets[blind, epoch] = tensors(run.model)
            norms[blind, epoch] = float(run.model.classifier.weight.grad.abs().max())
    for epoch in (2, 3, 4):  # everything else is as it would have been
        assert norms[True, epoch] == norms[False, epoch] < 0.1
        for key, value in nets[False, epoch].items():
            same = torch.equal(value, nets[True, epoch][key])
            assert same or key.startswith('backbone.router.mlp.1.')


def test_averaged_weights_inherit_averages():
    """What an average of the banks would be, had the sum been trained from the start."""
    ema = EMAHook(momentum=0.25)
    run = Run(small_net(), CurriculumHook((1, 3), ()), ema)
    run.model.backbone.set_arch(run.model.backbone.space.parse(ARCH))
    run.call('before_train')
    for epoch in (1, 2):
        run.begin_epoch(epoch)
        run.step()
    average = ema.ema_model.module
    before = tensors(average)
    run.begin_epoch(3)
    assert average.backbone.num_active == run.model.backbone.num_active == 2
    moved = 0
    for key, value in average.state_dict().items():
        if '.banks.1.' in key:
            old = before[key.replace('.banks.1.', '.banks.0.')]
            assert torch.equal(value, before[key] + old)
            trained = dict(run.model.state_dict())[key]
            moved += not torch.equal(trained, value)
    assert moved > 0
    row = average.backbone.router.mlp[-1].weight
    own = before['backbone.router.mlp.1.weight']
    assert torch.equal(row[1], own[1] + own[0])
    run.step()
    assert average.backbone.num_active == 2


def test_draws_are_those_of_seed_and_step(router):
    run = started(CurriculumHook((1,), ()))
    assert router(run).step == (3, 0)
    run.iter = 17
    run.call('before_train_iter', batch_idx=2)
    assert router(run).step == (3, 17)


# ---- what a checkpoint holds -------------------------------------------------------------------


def test_a_run_goes_on_from_the_banks_that_it_finds():
    """Weights of 3 banks, in a run that starts: no switch is repeated, none is lost."""
    net = small_net(active=3)
    run = started(CurriculumHook((1, 2, 3, 4, 5), ()), net=net)
    before = tensors(net)
    for epoch in (1, 2, 3):
        run.begin_epoch(epoch)
        assert net.backbone.num_active == 3
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    run.begin_epoch(4)
    assert net.backbone.num_active == 4
    run = started(CurriculumHook((1, 2, 3, 4, 5), ()))
    run.begin_epoch(9)  # from epoch 1: all that lack, one after the other
    assert run.model.backbone.num_active == 5
    last = banks(run.model, 4)[0]
    assert last[3].op[2].running_var.mean() > 4.5  # each began with 1 more than the one before


def test_a_restart_is_done_once_and_blindness_outlives_a_resume():
    run = started(CurriculumHook((1, 3), (2,), blind=True))
    run.begin_epoch(2)
    run.step()
    checkpoint = {}
    run.call('before_save_checkpoint', checkpoint=checkpoint)
    assert checkpoint['curriculum'] == dict(restarted=2, unseen=[])
    run.begin_epoch(3)
    run.step()
    run.call('before_save_checkpoint', checkpoint=checkpoint)
    names = ['backbone.router.mlp.1.weight', 'backbone.router.mlp.1.bias']
    assert checkpoint['curriculum'] == dict(restarted=2, unseen=names)

    for resume in (True, False):
        again = Run(small_net(active=2), CurriculumHook((1, 3), (2,), blind=True), resume=resume)
        again.call('after_load_checkpoint', checkpoint=checkpoint)
        again.call('before_train')
        (hook,) = again.hooks
        named = dict(again.model.named_parameters())
        assert [id(p) for p in hook._unseen] == ([id(named[n]) for n in names] if resume else [])
        again.optim_wrapper.optimizer.state['loaded'] = {}
        again.begin_epoch(2)  # of a checkpoint within that epoch, which mmengine begins again
        assert ('loaded' in again.optim_wrapper.optimizer.state) == resume


@pytest.mark.parametrize('saved', [None, 3, dict(restarted='x', unseen=1), dict(restarted=1)])
def test_a_checkpoint_without_it_is_fine(saved):
    run = Run(small_net(), CurriculumHook(), resume=True)
    run.call('after_load_checkpoint', checkpoint=dict(curriculum=saved))
    run.call('before_train')
    run.begin_epoch(1)


# ---- epochs ------------------------------------------------------------------------------------


def test_shares_of_the_run_are_the_published_epochs():
    published = (1, 201, 401, 601, 801)
    assert epochs_of((0, 0.2, 0.4, 0.6, 0.8), 1000, '') == list(published)
    assert epochs_of(published, 1000, '') == list(published)
    assert CurriculumHook().schedule == (0, 0.2, 0.4, 0.6, 0.8)
    assert epochs_of((0, 0.2, 0.4, 0.6, 0.8), 3, '') == [1, 1, 2, 2, 3]
    assert epochs_of((0.29, 0.57, 0.58), 100, '') == [30, 58, 59]
    assert epochs_of((0, 0.4, 0.999), 1, '') == [1, 1, 1]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(schedule=()), 'starts at epoch 1'),
        (dict(schedule=(2, 3)), 'starts at epoch 1'),
        (dict(schedule=(1, 5, 3)), 'in order'),
        (dict(schedule=(1, 2.5)), 'in order'),
        (dict(schedule=(1, -2)), 'in order'),
        (dict(schedule=3), 'lists epochs'),
        (dict(schedule=(1, float('nan'))), 'lists epochs'),
        (dict(schedule=(1, float('inf'))), 'lists epochs'),
        (dict(restart_at=('1',)), 'lists epochs'),
    ],
)
def test_epochs_that_are_none(settings, message):
    with pytest.raises(ValueError, match=message):
        CurriculumHook(**settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(schedule=(1, 201), restart_at=()), r'epoch 201 is beyond the run of 100 epochs'),
        (dict(schedule=(1,), restart_at=(401,)), r'restart_at=\[401\]'),
        (dict(schedule=(1, 2, 3, 4, 5, 6)), 'num_banks=5'),
    ],
)
def test_what_does_not_fit_the_run_is_told_before_it_begins(settings, message):
    run = Run(small_net(), CurriculumHook(**settings), max_epochs=100)
    with pytest.raises(ValueError, match=message):
        run.call('before_train')


def test_a_supernet_without_banks_is_told():
    net = Net(CreamSupernet(space=tiny_space().to_dict()), 32)
    run = Run(net, CurriculumHook())
    with pytest.raises(ValueError, match='CreamSupernet has none'):
        run.call('before_train')


def test_several_optimizers_are_told():
    run = Run(small_net(), CurriculumHook(), schedule=None)
    run.optim_wrapper = OptimWrapperDict(one=run.optim_wrapper)
    run.call('before_run')
    with pytest.raises(ValueError, match='this run has several'):
        run.call('before_train')
