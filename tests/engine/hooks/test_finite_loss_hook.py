"""What goes wrong in a long run, and what is left of it."""

import subprocess
import sys
import types
from functools import partial

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from test_search_run import build, data  # noqa: F401

from cream_mm.engine.hooks import FiniteLossHook
from cream_mm.engine.hooks.finite_loss_hook import _bad_gradient
from cream_mm.registry import HOOKS


class Poison:
    """Makes the loss of certain steps infinite or NaN."""

    def __init__(self, runner, steps, value=float('nan')):
        self.runner, self.steps, self.value = runner, steps, value
        self.before = {}
        self.plain = runner.model.head.loss_by_logits
        runner.model.head.loss_by_logits = self

    def __call__(self, *args):
        loss = self.plain(*args)
        if self.runner.iter not in self.steps or not self.runner.model.training:
            return loss
        # BN's statistics have moved by now; the weights have not.
        self.before[self.runner.iter] = weights(self.runner.model)
        return loss * self.value


def weights(model):
    return {k: v.clone() for k, v in model.named_parameters()}


def guarded(data, folder, **hook):  # noqa: F811
    hook = dict(type='cream_mm.FiniteLossHook', **hook)
    return build(data, folder, default_hooks=dict(finite_loss=hook))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_loss_that_is_not_finite_stops(data, tmp_path, value):  # noqa: F811
    runner = guarded(data, tmp_path / 'run')
    poison = Poison(runner, {9}, value)  # of 7 steps an epoch
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    message = str(error.value)
    assert 'at step 10 of 21, epoch 2' in message and 'learning rate 0.05' in message
    assert f'path {runner.model.backbone.arch}' in message
    assert 'optim_wrapper.optimizer.lr' in message and 'action=skip' in message
    for name, weight in weights(runner.model).items():
        assert torch.equal(weight, poison.before[9][name]), name
    work_dir = tmp_path / 'run'
    assert (work_dir / 'epoch_1.pth').is_file() and (work_dir / 'board.json').is_file()
    saved = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['state_dict']
    assert all(torch.isfinite(v).all() for v in saved.values())


def test_a_step_is_left_out(data, tmp_path):  # noqa: F811
    runner = guarded(data, tmp_path / 'run', action='skip')
    poison = Poison(runner, {3, 9})
    statistics = {}
    hook = next(h for h in runner.hooks if isinstance(h, FiniteLossHook))
    plain = hook.before_train_iter

    def before(runner, *args, **kwargs):
        plain(runner, *args, **kwargs)
        buffers = dict(runner.model.named_buffers())
        statistics[runner.iter] = {k: v.clone() for k, v in buffers.items() if 'board' not in k}

    hook.before_train_iter = before
    after = {}
    update = runner.call_hook

    def call(name, **kwargs):
        if name == 'after_train_iter':
            after[runner.iter] = weights(runner.model), dict(runner.model.named_buffers())
            for step in {3, 9} & {runner.iter}:
                for key, value in poison.before[step].items():
                    assert torch.equal(value, after[step][0][key]), key
                for key, value in statistics[step].items():
                    assert torch.equal(value, after[step][1][key]), key
        update(name, **kwargs)

    runner.call_hook = call
    runner.train()
    assert len(after) == 21 and hook.num_skipped == 2
    assert all(torch.isfinite(v).all() for v in runner.model.state_dict().values())
    assert (tmp_path / 'run/best_arch.json').is_file()


def test_too_many_steps_left_out(data, tmp_path):  # noqa: F811
    runner = guarded(data, tmp_path / 'run', action='skip', max_share=0.02)
    Poison(runner, {4, 5, 6})
    with pytest.raises(FloatingPointError, match='3 of the last 7 steps were left out.*max_share'):
        runner.train()


def test_with_accumulated_gradients(data, tmp_path):  # noqa: F811
    """The gradients of the steps before are dropped with the bad one's."""
    runner = guarded(data, tmp_path / 'run', action='skip')
    runner.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05), accumulative_counts=2)
    poison = Poison(runner, {2, 7})
    runner.train()
    assert runner.optim_wrapper._accumulative_counts == 2 and set(poison.before) == {2, 7}
    assert all(torch.isfinite(v).all() for v in runner.model.state_dict().values())


def root_at_zero(loss, weight):
    """The same loss; the root of 0 has an infinite derivative."""
    return loss + (weight - weight.detach()).sum().sqrt()


class PoisonGradient(Poison):
    """Gives the head's hidden layer infinite gradients in certain steps, at a finite loss."""

    def __call__(self, *args):
        weight = self.runner.model.head.conv_head.weight
        loss = root_at_zero(self.plain(*args), weight)
        if self.runner.iter not in self.steps or not self.runner.model.training:
            return self.plain(*args)
        assert torch.isfinite(loss)
        self.before[self.runner.iter] = weights(self.runner.model)
        return loss


@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0), dict(type='value', clip_value=1.0)])
def test_a_gradient_that_is_not_finite_stops(data, tmp_path, clip):  # noqa: F811
    runner = guarded(data, tmp_path / 'run')
    runner.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05), clip_grad=clip)
    poison = PoisonGradient(runner, {9})
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    message = str(error.value)
    assert 'the loss is finite, but the gradient of head.conv_head.weight is not' in message
    assert 'at step 10 of 21, epoch 2' in message and 'learning rate 0.05' in message
    assert f'path {runner.model.backbone.arch}' in message and 'action=skip' in message
    for name, weight in weights(runner.model).items():
        assert torch.equal(weight, poison.before[9][name]), name


def test_a_step_with_such_a_gradient_is_left_out(data, tmp_path):  # noqa: F811
    runner = guarded(data, tmp_path / 'run', action='skip')
    poison = PoisonGradient(runner, {3, 9})
    after = {}
    plain = runner.call_hook

    def call(name, **kwargs):
        if name == 'after_train_iter' and runner.iter in poison.before:
            after[runner.iter] = weights(runner.model), runner.model.trained_path
        plain(name, **kwargs)

    runner.call_hook = call
    runner.train()
    hook = next(h for h in runner.hooks if isinstance(h, FiniteLossHook))
    assert hook.num_skipped == 2 and set(after) == {3, 9}
    for step, (left, path) in after.items():
        assert path is None  # nothing for the board
        assert all(torch.equal(left[k], v) for k, v in poison.before[step].items())
    assert all(torch.isfinite(v).all() for v in runner.model.state_dict().values())


def test_a_large_gradient_is_no_fault():
    """Its norm overflows, it does not."""
    param = torch.nn.Parameter(torch.ones(4))
    wrapper = OptimWrapper(torch.optim.SGD([param], 0.1))
    assert _bad_gradient(wrapper) is None  # no gradient yet
    param.grad = torch.full((4,), 3e38)
    assert _bad_gradient(wrapper) is None
    for value in (float('inf'), float('-inf'), float('nan')):
        param.grad = torch.tensor([0.0, 0.0, value, 0.0])
        assert _bad_gradient(wrapper) is param


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='no scaler for the CPU')
def test_a_scaler_looks_after_its_gradients(monkeypatch):
    """With --amp an overflow is part of the search for a scale."""
    place = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{place}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{place}.GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    wrapper = AmpOptimWrapper(optimizer=optimizer, loss_scale='dynamic')
    runner = types.SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0, epoch=0, max_iters=2)
    FiniteLossHook().before_train(runner)
    before, scale = model.weight.clone(), wrapper.loss_scaler.get_scale()
    wrapper.update_params(root_at_zero(model(torch.ones(1, 2)).sum(), model.weight))
    assert torch.equal(model.weight, before)
    assert wrapper.loss_scaler.get_scale() == scale / 2
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    assert not torch.equal(model.weight, before)


def test_the_count_of_steps_left_out_is_kept(data, tmp_path):  # noqa: F811
    def part(steps, **kwargs):
        hook = dict(type='cream_mm.FiniteLossHook', action='skip', max_share=0.02)
        runner = build(data, tmp_path / 'run', default_hooks=dict(finite_loss=hook), **kwargs)
        Poison(runner, steps)
        return runner, next(h for h in runner.hooks if isinstance(h, FiniteLossHook))

    runner, hook = part({3, 5}, max_epochs=1)
    runner.train()
    runner, again = part({9}, resume=True)
    with pytest.raises(FloatingPointError, match='3 of the last 10 steps were left out'):
        runner.train()
    assert again.num_skipped == 3
    runner, other = part({}, load_from=str(tmp_path / 'run/epoch_1.pth'))
    runner.load_or_resume()
    assert other.num_skipped == 0  # another run


@pytest.mark.parametrize('saved', [3, {}, dict(num_skipped='x', recent=[True]), dict(recent=5)])
def test_a_count_that_is_none(saved):
    hook = FiniteLossHook()
    hook.after_load_checkpoint(types.SimpleNamespace(_resume=True), dict(finite_loss=saved))
    assert hook.num_skipped == 0


@pytest.mark.parametrize('kwargs', [dict(action='ignore'), dict(max_share=2)])
def test_wrong_arguments(kwargs):
    with pytest.raises(ValueError, match='action is|max_share is'):
        HOOKS.build(dict(type='cream_mm.FiniteLossHook', **kwargs))


# --- several processes ---

DISTRIBUTED = """
import sys, types, torch
import torch.distributed as dist
import cream_mm
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from cream_mm.engine.hooks import FiniteLossHook

rank, store, action = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)

class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.norm, self.unused = (
            torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    def forward(self, inputs, mode):
        return dict(loss=self.norm(self.fc(inputs)).square().mean())

model = MMDistributedDataParallel(Toy(), device_ids=None, find_unused_parameters=True)
wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
runner = types.SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0, max_iters=5, epoch=0)
hook = FiniteLossHook(action=action)
hook.before_train(runner)
for step in range(5):
    runner.iter = step
    inputs = torch.full((4, 3), float('nan')) if (step, rank) == (2, 1) else torch.rand(4, 3)
    hook.before_train_iter(runner, step)
    before = [p.clone() for p in model.parameters()]
    try:
        model.train_step(dict(inputs=inputs), wrapper)
    except FloatingPointError as error:
        print(step, str(error)[:40])
        break
    after = list(model.parameters())
    print(step, 'stepped' if any(not torch.equal(a, b) for a, b in zip(before, after)) else 'left')
finite = model.module.norm.running_mean.isfinite().all()
print('=', [p.sum().item() for p in model.parameters()], finite)
"""


@pytest.mark.slow
@pytest.mark.parametrize('action', ['stop', 'skip'])
def test_all_ranks_decide_alike(tmp_path, action):
    """The loss of one rank alone is NaN."""
    script = tmp_path / 'run.py'
    script.write_text(DISTRIBUTED)
    command = [sys.executable, str(script)]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / 'store'), action],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    texts = [rank.communicate(timeout=200)[0] for rank in ranks]
    texts = [[t for t in text.split('\n') if t[1:2] == ' '] for text in texts]
    for lines in texts:
        assert lines[:2] == ['0 stepped', '1 stepped']
        if action == 'skip':
            assert lines[2:5] == ['2 left', '3 stepped', '4 stepped']
            assert 'nan' not in lines[-1] and 'True' in lines[-1]
    if action == 'stop':
        assert 'not finite (on another rank)' in texts[0][2] and '(nan)' in texts[1][2]
    assert texts[0][-1].split(']')[0] == texts[1][-1].split(']')[0]
