"""Runs that count steps instead of epochs, killed and resumed."""

import gc
from types import SimpleNamespace

import pytest
import torch
from mmdet.datasets.transforms import CachedMosaic
from mmengine.dataset import Compose
from test_runner import _quick, data, retraining, run  # noqa: F401
from torch.utils.data import DataLoader, Dataset, IterableDataset

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.hooks import SeedHook
from cream_mm.testing import logged_scalars, run_differences


def by_steps(data, work_dir, sampler='InfiniteSampler', num_workers=0, **kwargs):  # noqa: F811
    """25 steps of 4 of 36 images: almost three passes; a checkpoint every 5 steps."""
    cfg = retraining(data, work_dir, num_workers, **kwargs)
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=25, val_interval=10)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=5)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor = dict(by_epoch=False, window_size=1)
    cfg.param_scheduler = [dict(type='LinearLR', end_factor=0.1, end=25, by_epoch=False)]
    return cfg


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):  # noqa: F811
    """Uninterrupted runs, one for each sampler."""
    folder = tmp_path_factory.mktemp('whole')
    for sampler in ('InfiniteSampler', 'DefaultSampler'):
        run(lambda sampler=sampler, **kw: by_steps(data, folder / sampler, sampler, **kw))
    return folder


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_a_killed_run_ends_like_the_whole_one(data, whole, tmp_path, sampler, num_workers):  # noqa: F811
    def build(**kw):
        return by_steps(data, tmp_path / 'killed', sampler, num_workers, **kw)

    if num_workers:  # stopped, not killed: workers of a killed run would live on in this process
        cfg = build()
        cfg.train_cfg.max_iters = 10
        Runner.from_cfg(cfg).train()
        gc.collect()
        Runner.from_cfg(build(resume=True)).train()
    else:
        run(build, (3,), (7,), (18,))
    assert not run_differences(tmp_path / 'killed', whole / sampler, 'iter_25.pth')
    assert load_checkpoint_file(whole / sampler / 'iter_25.pth')['meta']['iter'] == 25
    losses = [v for (_, _, name), v in logged_scalars(whole / sampler).items() if name == 'loss']
    assert len(losses) == 25


class Draws(Dataset):
    """A sample is its index and a number drawn."""

    metainfo = {}

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.tensor([float(index), float(torch.rand(()))])


def batches(dataset, count, skip=0, seed=0, shuffle=True):
    """The first batches of two that an iteration-based loop would get."""
    sampler = torch.utils.data.RandomSampler(
        dataset, generator=torch.Generator().manual_seed(0)
    ) if shuffle else None  # fmt: skip
    loader = DataLoader(dataset, 2, sampler=sampler)
    runner = SimpleNamespace(
        train_dataloader=loader, epoch=0, seed=seed,
        train_loop=SimpleNamespace(dataloader_iterator=iter(loader)),
    )  # fmt: skip
    SeedHook().before_train(runner)
    endless = runner.train_loop.dataloader_iterator
    if skip:
        endless.skip_iter(skip)
    return torch.stack([next(endless) for _ in range(count)])


def test_each_pass_draws_anew():
    drawn = batches(Draws(), 9)  # three passes of three batches
    assert [sorted(p[..., 0].flatten().tolist()) for p in drawn.split(3)] == [
        [*map(float, range(6))]
    ] * 3
    assert len(drawn[..., 1].unique()) == 18


def test_a_batch_is_a_function_of_seed_and_step():
    drawn = batches(Draws(), 9, shuffle=False)
    assert torch.equal(batches(Draws(), 5, skip=4, shuffle=False), drawn[4:])
    assert not set(batches(Draws(), 9, seed=1)[..., 1].flatten().tolist()) & set(
        drawn[..., 1].flatten().tolist()
    )


def test_what_has_no_index_stays_as_it_was():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    loader = DataLoader(Stream(), 2)
    first = object()
    runner = SimpleNamespace(
        train_dataloader=loader, epoch=0, seed=0,
        train_loop=SimpleNamespace(dataloader_iterator=first),
    )  # fmt: skip
    SeedHook().before_train(runner)
    assert runner.train_loop.dataloader_iterator is first


# ---- transforms with a memory ------------------------------------------------------------------


@pytest.mark.parametrize('cached', [False, True])
def test_one_warning_at_the_start(monkeypatch, cached):
    told = []
    monkeypatch.setattr(
        'cream_mm.engine.hooks.seed_hook.print_log', lambda text, *args, **kw: told.append(text)
    )
    dataset = Draws()
    dataset.pipeline = Compose([CachedMosaic((8, 8))] if cached else [])
    loader = DataLoader(dataset, 2)
    runner = SimpleNamespace(
        train_dataloader=loader, epoch=0, seed=0, train_loop=SimpleNamespace(), iter=0
    )
    hook = SeedHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    hook.before_train_iter(runner, 0)
    assert len(told) == cached
    assert all('CachedMosaic keep' in text and 'not bit by bit' in text for text in told)
