"""Two processes with gloo: replicas stay equal, and do what one process does with both batches."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from test_runner import retraining, search
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cream_mm.engine import Runner
from cream_mm.engine.distributed import hidden_sync_norms, on_main_process, restart_store, unwrap
from cream_mm.engine.hooks import FiniteLossHook
from cream_mm.evaluation import ArchEvaluator
from cream_mm.methods.cream.meta_matching_hook import MetaMatchingHook
from cream_mm.models.layers.sync_batch_norm import SyncBatchNorm
from cream_mm.testing import differences, write_image_folder

NORM_SIZES = (3, 5)  # images of each rank


class Poison(Hook):
    """One rank's loss is NaN in one step."""

    priority = 'LOWEST'

    def before_train_iter(self, runner, *args, **kwargs):
        self._mean = unwrap(runner.model).data_preprocessor.mean
        self._before = self._mean.clone()
        if runner.iter == 6 and runner.rank == 1:
            self._mean.fill_(float('nan'))

    def after_train_iter(self, runner, *args, **kwargs):
        self._mean.copy_(self._before)


def in_parallel(cfg, **kwargs):
    """What default_runtime.py and search_imagenet.py have for it."""
    cfg.default_hooks.norm_stats = dict(type='cream_mm.NormStatsHook')
    cfg.merge_from_dict(dict(env_cfg=dict(dist_cfg=dict(timeout=60)), **kwargs))
    return cfg


def search_of(data, work_dir, mode, **kwargs):
    cfg = in_parallel(search(data, work_dir, mode), **kwargs)
    if mode == 'fixed':
        cfg.default_hooks.finite_loss = dict(type='cream_mm.FiniteLossHook', action='skip')
    return cfg


def exact_search(data, work_dir, batch_size, meta_images, **kwargs):
    """Without what depends on the rank by intention: dropout, and a norm of each rank's own."""
    cfg = in_parallel(search(data, work_dir), sync_bn='torch', **kwargs)
    cfg.model.head.dropout = 0.0
    cfg.train_dataloader.batch_size = batch_size
    cfg.custom_hooks[1].num_images = meta_images
    return cfg


def run(cfg, double=False, poison=False):
    runner = Runner.from_cfg(cfg)
    if double:
        runner.model.double()
    if poison:
        runner.register_hook(Poison())
    runner.train()
    return runner


def state(runner) -> dict:
    """All that training changes."""
    model = unwrap(runner.model)
    content = dict(model=model.state_dict(), optimizer=runner.optim_wrapper.state_dict())
    if hasattr(model, 'board'):
        content['board'] = [(str(e.arch), e.score, e.macs) for e in model.board.entries]
    for hook in runner.hooks:
        if isinstance(hook, MetaMatchingHook) and hook.optimizer is not None:
            content['meta_optimizer'] = hook.optimizer.state_dict()
        if isinstance(hook, EMAHook):
            content['ema'] = hook.ema_model.state_dict()
        if isinstance(hook, FiniteLossHook):
            content['num_skipped'] = hook.num_skipped
    return content


def norm_of_all():
    """Images, and what is asked of batch norm: output, gradients, a second derivative."""
    torch.manual_seed(0)
    return torch.randn(sum(NORM_SIZES), 4, 2, 3, dtype=torch.float64)


def ask(norm, x):
    x = x.clone().requires_grad_()
    out = norm(x)
    loss = (out**3).sum()
    first = torch.autograd.grad(loss, [x, *norm.parameters()], create_graph=True)
    second = torch.autograd.grad((first[0] ** 2).sum(), x)[0]
    return [t.detach() for t in (out, *first, second, norm.running_mean, norm.running_var)]


def rank_main(rank, port, data, folder):
    env = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({key: str(value) for key, value in env.items()})
    torch.set_num_threads(1)
    os.chdir(folder)  # mmengine's validation leaves a .dist_test where it is
    Config.pretty_text = 'seed = 3'  # formatting it takes longer than training
    rated, rate = [], ArchEvaluator._rate_in_order

    def noting(self, archs):
        rated.extend(arch.to_list() for arch in archs)
        return rate(self, archs)

    ArchEvaluator._rate_in_order = noting
    parallel = dict(launcher='pytorch', model_wrapper_cfg=dict(type='cream_mm.PathDataParallel'))
    saved = {}
    for mode in ('fixed', 'official'):
        cfg = search_of(data, folder / mode, mode, **parallel)
        saved[mode] = state(run(cfg, poison=mode == 'fixed'))
        saved[mode]['rated'] = rated.copy()
        rated.clear()
    runner = run(in_parallel(retraining(data, folder / 'retraining'), launcher='pytorch'))
    saved['retraining'] = state(runner)
    saved['wrapper'] = type(runner.model).__name__
    cfg = exact_search(data, folder / 'exact', 4, 1, **parallel)
    saved['exact'] = state(run(cfg, double=True))

    norm = SyncBatchNorm(4).double()
    saved['norm'] = ask(norm, norm_of_all().split(NORM_SIZES)[rank])
    try:
        on_main_process(Path(folder, 'nowhere').read_text)
    except FileNotFoundError as error:
        saved['error'] = error.filename
    saved['answer'] = on_main_process(os.getpid)
    torch.save(saved, folder / f'rank{rank}.pt')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """36 images in training, 12 held out."""
    folder = tmp_path_factory.mktemp('data')
    return write_image_folder(folder, classes=('a', 'b', 'c'), train=16, size=(12, 12))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('ranks')


@pytest.fixture(scope='module')
def ranks(data, folder):
    """What both processes have in the end."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.start_processes(rank_main, (port, data, folder), 2, start_method='spawn')
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in (0, 1)]


@pytest.fixture
def alone(monkeypatch):
    """This process, counting as a rank of the others does."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('name', ['fixed', 'official', 'retraining', 'exact'])
def test_replicas_are_equal(ranks, name):
    ours, theirs = ({k: v for k, v in rank[name].items() if k != 'rated'} for rank in ranks)
    assert not differences(ours, theirs)
    if name != 'retraining':
        assert len(ours['board']) == 3
    if name in ('fixed', 'exact'):
        assert ours['meta_optimizer']['state'][0]['momentum_buffer'].abs().max() > 0
    assert ('ema' in ours) == (name == 'retraining')


def test_a_step_that_is_nan_on_one_rank_is_left_out_on_both(ranks):
    assert [rank['fixed']['num_skipped'] for rank in ranks] == [1, 1]
    assert all(value.isfinite().all() for value in ranks[0]['fixed']['model'].values())


def test_each_rank_rates_its_share(ranks, data, folder, tmp_path, alone):
    """And writes what one process writes."""
    first, second = (rank['fixed']['rated'] for rank in ranks)
    text = (folder / 'fixed/ratings.jsonl').read_text()
    lines = [json.loads(x)['arch'] for x in text.splitlines()]
    assert lines[::2] == first and lines[1::2] == second and len(lines) == 6
    cfg = search(data, tmp_path, load_from=str(folder / 'fixed/epoch_3.pth'))
    Runner.from_cfg(cfg).test()
    for name in ('board.json', 'best_arch.json'):
        assert (tmp_path / name).read_text() == (folder / 'fixed' / name).read_text()
    # Each rank took neighbours, so the lines stand in another order.
    assert sorted((tmp_path / 'ratings.jsonl').read_text().splitlines()) == sorted(
        text.splitlines()
    )


def test_two_ranks_do_what_one_does_with_both_batches(ranks, data, folder, tmp_path, alone):
    runner = run(exact_search(data, tmp_path, 8, 2), double=True)
    ours, theirs = ranks[0]['exact'], state(runner)
    assert runner.iter == 15
    assert ours['board'] == theirs['board']  # paths, order, scores
    largest = 0.0
    for key, value in theirs['model'].items():
        if value.is_floating_point():
            assert value.dtype == torch.float64
            largest = max(largest, float((ours['model'][key] - value).abs().max()))
    assert 0 < largest < 1e-12
    ratings = []
    for where in (tmp_path, folder / 'exact'):
        lines = map(json.loads, (where / 'ratings.jsonl').read_text().splitlines())
        ratings.append({str(line['arch']): line['top1_pct'] for line in lines})
    assert ratings[0] == ratings[1]


def test_sync_norm_is_batch_norm_of_all_images(ranks):
    norm = torch.nn.BatchNorm2d(4).double()
    whole = ask(norm, norm_of_all())
    out, dx, dweight, dbias, second, *running = zip(*(rank['norm'] for rank in ranks))
    for theirs, parts in ((0, out), (1, dx), (4, second)):
        torch.testing.assert_close(torch.cat(parts), whole[theirs], rtol=0, atol=1e-11)
    for theirs, parts in ((2, dweight), (3, dbias)):
        torch.testing.assert_close(sum(parts), whole[theirs], rtol=0, atol=1e-11)
    for theirs, parts in zip(whole[5:], running):
        for part in parts:
            torch.testing.assert_close(part, theirs, rtol=0, atol=1e-13)


def test_retraining_is_wrapped_without_a_gpu(ranks):
    assert ranks[0]['wrapper'] == 'MMDistributedDataParallel'


def test_errors_and_answers_of_rank_0_reach_all(ranks, folder):
    assert ranks[0]['answer'] == ranks[1]['answer']
    assert [rank['error'] for rank in ranks] == [str(folder / 'nowhere')] * 2


def test_a_restarted_group_has_a_store_of_its_own(monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    env = dict(RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    usual = dict(dist_cfg=dict(backend='gloo'))
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '0')
    assert restart_store(usual) is usual
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '2')
    settings = restart_store(usual)['dist_cfg']
    assert (settings['backend'], settings['rank'], settings['world_size']) == ('gloo', 0, 1)
    settings['store'].set('address', 'here')
    assert settings['store'].underlying_store.get('attempt_2/address') == b'here'


def test_a_model_in_a_wrapper():
    model = torch.nn.Linear(1, 1)
    assert unwrap(model) is model
    assert unwrap(torch.nn.DataParallel(model)) is model


def test_torchs_own_wrapper_takes_synchronised_norms_on_a_cpu(tmp_path):
    """A detector's: it refuses torch's class, and whatever is derived from it."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4))
    store = torch.distributed.FileStore(str(tmp_path / 'store'), 1)
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match='only work with GPU'):
            DistributedDataParallel(model)
        with hidden_sync_norms(model):
            wrapped = DistributedDataParallel(model)
        assert type(model[1]) is SyncBatchNorm
        x = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(wrapped(x).mean((0, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    finally:
        torch.distributed.destroy_process_group()
