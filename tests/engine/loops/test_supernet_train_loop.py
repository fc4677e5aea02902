"""Single-path training of a classifier of mmpretrain, which knows nothing of paths."""

import copy
import itertools

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from cream_mm.engine import Runner
from cream_mm.engine.loops.supernet_train_loop import build_sampler, supernet_of
from cream_mm.models import CreamNet
from cream_mm.testing import tiny_space, write_image_folder

_names = itertools.count()  # a Runner of an earlier name would find that one's log history


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=4, size=(8, 8)
    )


def build(data, work_dir, *, max_epochs=1, train_cfg=None, **kwargs):
    """Three steps an epoch, of four images each."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    dataset = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, part='all')
    loader = dict(
        batch_size=4, num_workers=0, dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=True),
    )  # fmt: skip
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='cream_mm.CreamSupernet',
                space=tiny_space().to_dict(),
                out_indices=(3,),
                costs=dict(input_size=8, num_classes=3, head_channels=16),
            ),
            head=dict(
                type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16
            ),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_cfg=dict(type='cream_mm.SupernetValLoop'),
        val_evaluator=dict(type='Accuracy', topk=(1,)),
        train_cfg=dict(
            type='cream_mm.SupernetTrainLoop',
            max_epochs=max_epochs,
            val_interval=9,
            **(train_cfg or {}),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        randomness=dict(seed=3),
        log_level='ERROR',
        experiment_name=f'plain-{next(_names)}',
    )
    return Runner.from_cfg(Config({**cfg, **kwargs}))


class Watch(Hook):
    """Notes each step's path, the parameters on it, and those that the step moved."""

    def __init__(self):
        self.archs, self.used, self.moved = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = copy.deepcopy(dict(runner.model.backbone.named_parameters()))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        supernet = runner.model.backbone
        self.archs.append(supernet.arch)
        self.used.append(set(supernet.path_parameters()))
        self.moved.append(
            {k for k, v in supernet.named_parameters() if not torch.equal(v, self.before[k])}
        )


@pytest.mark.parametrize('zero_grad', ['none', 'zero'])
def test_what_a_step_moves(data, tmp_path, zero_grad):
    """Its path; with gradients of zero, momentum moves what was trained before as well."""
    runner = build(data, tmp_path, max_epochs=2, train_cfg=dict(zero_grad=zero_grad))
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    sampler = build_sampler(None, runner.model.backbone.budget, seed=3)
    assert watch.archs == [sampler.sample(step) for step in range(6)]
    assert len(set(watch.archs)) > 2
    trained = set()
    for used, moved in zip(watch.used, watch.moved):
        trained |= used
        allowed = trained if zero_grad == 'zero' else used
        # A layer's shift before a norm has a gradient of about zero, which may be zero.
        assert moved <= allowed and len(moved) > 0.9 * len(allowed)
    assert any(moved - used for used, moved in zip(watch.used, watch.moved)) == (
        zero_grad == 'zero'
    )


def test_a_resumed_run_draws_what_the_whole_one_does(data, tmp_path):
    """Weights and optimizer are those of the whole run, gradients of zero included."""
    whole = build(data, tmp_path / 'whole', max_epochs=2, train_cfg=dict(zero_grad='zero'))
    whole.train()
    first = build(data, tmp_path / 'part', max_epochs=1, train_cfg=dict(zero_grad='zero'))
    first.train()
    second = build(
        data, tmp_path / 'part', max_epochs=2, train_cfg=dict(zero_grad='zero'), resume=True
    )
    second.train()
    assert second.model.backbone.arch == whole.model.backbone.arch
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


class Counting(BaseLoop):
    """A test loop that only counts."""

    def __init__(self):
        self.runs = 0

    def run(self):
        self.runs += 1


@pytest.mark.parametrize('rate_at_end', [True, False])
def test_the_test_loop_at_the_end(data, tmp_path, rate_at_end):
    runner = build(data, tmp_path, train_cfg=dict(rate_at_end=rate_at_end))
    runner._test_loop = Counting()
    runner.train()
    assert runner.iter == 3 and runner.test_loop.runs == rate_at_end


def test_a_sampler_by_config(data, tmp_path):
    sampler = dict(type='cream_mm.FairPathSampler', seed=7)
    loop = build(data, tmp_path, train_cfg=dict(sampler=sampler)).train_loop
    expected = build_sampler(sampler, loop.supernet.budget, seed=0)
    assert [loop.sampler.sample(i) for i in range(4)] == [expected.sample(i) for i in range(4)]
    assert loop.sampler.seed == 7 and loop.state_dict() == {}


def test_wrong_models_and_arguments(data, tmp_path):
    runner = build(data, tmp_path)
    runner.model.backbone = CreamNet([[0], [0, 0], [0, 0], [0]], space=tiny_space().to_dict())
    with pytest.raises(ValueError, match='ImageClassifier is not built around a supernet.*CreamNe'):
        supernet_of(runner.model)
    with pytest.raises(ValueError, match="zero_grad is one of .*got 'never'"):
        build(data, tmp_path, train_cfg=dict(zero_grad='never')).train_loop  # noqa: B018


# ---- a last batch of one image -----------------------------------------------------------------


@pytest.mark.parametrize('kind', ['cream_mm.SupernetTrainLoop', 'EpochBasedTrainLoop'])
def test_a_run_steps_on_what_is_left(data, tmp_path, kind):
    """12 images in batches of 11, at sizes where torch refuses a batch of one."""
    runner = build(data, tmp_path, max_epochs=2)
    loader = dict(runner._train_dataloader, batch_size=11)
    load, pack = loader['dataset']['pipeline']
    pipeline = [load, dict(type='Resize', scale=(2, 2)), pack]
    runner._train_dataloader = dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))
    runner._train_loop = dict(type=kind, max_epochs=2, val_interval=9)
    if kind == 'cream_mm.SupernetTrainLoop':
        runner._train_loop['rate_at_end'] = False
    watch = Sizes()
    runner.register_hook(watch)
    runner.train()
    assert watch.sizes == [11, 11] and runner.max_iters == runner.iter == 2


def test_a_run_without_steps_is_refused(data, tmp_path):
    runner = build(data, tmp_path)
    runner._train_dataloader = dict(runner._train_dataloader, batch_size=13, drop_last=True)
    with pytest.raises(ValueError, match='no step in an epoch: .*batch_size=12 or less'):
        runner.train()


class Sizes(Hook):
    def __init__(self):
        self.sizes = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.sizes.append(len(data_batch['inputs']))
