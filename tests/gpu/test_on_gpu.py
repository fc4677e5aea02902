"""What holds on a GPU: the same numbers as on a CPU, whole runs, two cards.

Run by ``make test-gpu``. Without a GPU every test here skips; none was ever run on one, see
docs/installation.md.
"""

import copy
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.hooks import EMAHook
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from test_runner import retraining, run, search
from torch import nn

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.config import load_config
from cream_mm.engine import PathDataParallel, Runner
from cream_mm.engine.distributed import unwrap
from cream_mm.methods.cream.meta_matching import meta_gradient
from cream_mm.methods.cream.meta_matching_hook import MetaMatchingHook
from cream_mm.testing import differences, tiny_cream, tiny_samples, write_image_folder

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).resolve().parents[2]
DEVICE = 'cuda'


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch):
    """Skips without a GPU; with one, float32 means float32 in convolutions, too."""
    if not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    return write_image_folder(folder, classes=('a', 'b', 'c'), train=12, size=(12, 12))


def devices(*owners) -> set[str]:
    """Where the tensors of modules and optimizers are."""
    found = set()
    for owner in owners:
        if isinstance(owner, nn.Module):
            tensors = [*owner.parameters(), *owner.buffers()]
        else:
            states = owner.state_dict()['state'].values()
            tensors = [v for state in states for k, v in state.items() if k != 'step']
            tensors = [v for v in tensors if isinstance(v, torch.Tensor)]
        found |= {tensor.device.type for tensor in tensors}
    return found


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


# ---- the same numbers ----------------------------------------------------------------------------


def full_board(device):
    torch.manual_seed(0)
    model = tiny_cream().double().train()
    space = model.backbone.space
    for i in range(3):
        images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        soft = torch.rand(2, 3, dtype=torch.float64).softmax(1)
        assert model.board.offer(space.sample(np.random.default_rng(i)), 50.0 - i, images, soft)
    model.backbone.set_arch(space.sample(np.random.default_rng(7)))
    batch = torch.randn(6, 3, 8, 8, dtype=torch.float64)
    samples = [sample.to(device) for sample in tiny_samples([0, 1, 2, 2, 1, 0])]
    return model.to(device), batch.to(device), samples


def test_a_step_and_its_meta_gradient_are_those_of_a_cpu():
    found = {}
    for device in ('cpu', DEVICE):
        model, batch, samples = full_board(device)
        losses = model.loss(batch, samples)
        loss, _ = model.parse_losses(losses)
        loss.backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        meta, held_out = meta_gradient(model, batch[:3], batch[3:], samples[3:], step_size=0.1)
        assert devices(model) == {device} and model.trained_path.soft_targets.device.type == device
        found[device] = [loss.detach(), held_out, *meta, *grads.values()]
    assert len(found['cpu']) > 20
    for ours, theirs in zip(found[DEVICE], found['cpu'], strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-8, atol=1e-10)


def test_a_board_is_read_back_from_a_gpu():
    model, batch, _ = full_board(DEVICE)
    board = model.board
    new = model.backbone.space.sample(np.random.default_rng(11))
    assert board.offer(new, 99.0, batch, batch.new_ones(6, 3) / 3)
    assert board.entries[0].arch == new and board.entries[0].score == 99.0
    assert torch.equal(board.images[0], batch[:2])
    other = tiny_cream().double()  # on a CPU
    other.load_state_dict(model.state_dict())
    assert [e.arch for e in other.board.entries] == [e.arch for e in board.entries]


# ---- whole runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize('mode', ['fixed', 'official'])
def test_a_search_ends_with_its_answer(data, tmp_path, mode):
    cfg = search(data, tmp_path, mode)
    cfg.default_hooks.path_log = dict(type='cream_mm.PathLogHook')
    cfg.default_hooks.finite_loss = dict(type='cream_mm.FiniteLossHook', action='skip')
    runner = Runner.from_cfg(cfg)
    before = copy.deepcopy(runner.model.matching.state_dict())
    runner.train()
    model = runner.model
    assert devices(model, runner.optim_wrapper.optimizer) == {DEVICE}
    assert len(model.board) == 3 and differences(before, model.matching.state_dict())
    steps = [json.loads(x) for x in (tmp_path / 'path_log.jsonl').read_text().splitlines()]
    assert [row['step'] for row in steps] == list(range(21))
    assert all(np.isfinite(row['loss']) for row in steps)
    best = json.loads((tmp_path / 'best_arch.json').read_text())
    assert best['rating']['num_images'] == 9 and 0 < best['rating']['loss'] < 10
    saved = load_checkpoint_file(tmp_path / 'epoch_3.pth')['state_dict']
    assert {value.device.type for value in saved.values()} == {'cpu'}


def test_ratings_are_those_of_a_cpu(data, tmp_path):
    runner = run(lambda resume: search(data, tmp_path))
    evaluator = runner.test_loop.build_evaluator(log_file=None)
    space = runner.model.backbone.space
    archs = list({space.sample(np.random.default_rng(i)) for i in range(6)})
    alone = [evaluator.rate(arch) for arch in archs]
    together = evaluator.rate_all(archs, lambda *_: None)  # by SharedPrefix
    fingerprint = evaluator.fingerprint()
    runner.model.cpu()
    assert evaluator.fingerprint() == fingerprint  # a rating belongs to weights, not to a device
    for arch, one, other in zip(archs, alone, together):
        on_cpu = evaluator.rate(arch)
        np.testing.assert_allclose(one.losses, on_cpu.losses, atol=2e-3)
        np.testing.assert_allclose(other.losses, on_cpu.losses, atol=2e-3)


@pytest.mark.parametrize('build', [search, retraining], ids=['search', 'retraining'])
def test_a_killed_run_goes_on(build, data, tmp_path):
    """Not bit by bit, as on a CPU: convolutions of a GPU add up in any order."""
    runner = run(lambda resume: build(data, tmp_path, resume=resume), (16,))
    assert runner.epoch == 3 and runner.iter == runner.max_iters
    owners = [runner.model, runner.optim_wrapper.optimizer]
    if build is search:
        owners.append(hook_of(runner, MetaMatchingHook).optimizer)
    else:
        owners.append(hook_of(runner, EMAHook).ema_model.module)  # it counts steps on a CPU
    assert devices(*owners) == {DEVICE}
    assert all(p.isfinite().all() for p in runner.model.parameters())


def with_amp(cfg):
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    cfg.default_hooks.finite_loss = dict(type='cream_mm.FiniteLossHook', action='skip')
    return cfg


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision(data, tmp_path, dtype):
    """As by ``tools/train.py --amp``; the meta gradient is taken outside of autocast."""
    seen = []

    def build(resume):
        cfg = with_amp(search(data, tmp_path, resume=resume))
        cfg.optim_wrapper.dtype = dtype
        return cfg

    runner = Runner.from_cfg(build(resume=False))
    hook = hook_of(runner, MetaMatchingHook)
    step = hook._virtual_step

    def noting(*args):
        seen.append(torch.is_autocast_enabled())
        return step(*args)

    hook._virtual_step = noting
    runner.train()
    assert seen and not any(seen)
    assert runner.model.board.soft_targets.dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in runner.model.parameters())
    scale = runner.optim_wrapper.loss_scaler.get_scale()
    saved = load_checkpoint_file(tmp_path / 'epoch_3.pth')['optimizer']
    assert saved['loss_scaler']['scale'] == scale > 0
    best = json.loads((tmp_path / 'best_arch.json').read_text())
    assert 0 < best['rating']['loss'] < 10


def test_mixed_precision_goes_on(data, tmp_path):
    runner = run(lambda resume: with_amp(search(data, tmp_path, resume=resume)), (16,))
    assert runner.epoch == 3 and runner.optim_wrapper.loss_scaler.get_scale() > 0


# ---- detectors -----------------------------------------------------------------------------------


def test_a_detector_step(tmp_path):
    """RetinaNet around the supernet: focal loss and NMS are the stand-ins' or mmcv's own."""
    options = {
        'model.backbone.space.depths': [1, 1, 2, 1, 1],
        'model.bbox_head.num_classes': 2,
        'model.bbox_head.stacked_convs': 1,
        'model.test_cfg.score_thr': 0.0,
    }
    path = str(ROOT / 'configs/spos/search_retinanet_coco.py')
    cfg = load_config(path, options, check_data=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model).to(DEVICE).train()
    from mmdet.structures import DetDataSample

    boxes = InstanceData(bboxes=torch.tensor([[4.0, 4.0, 40.0, 40.0]]), labels=torch.tensor([1]))
    meta = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0), img_id=1)
    samples = [DetDataSample(gt_instances=boxes.clone(), metainfo=meta) for _ in range(2)]
    batch = dict(inputs=list(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)), data_samples=samples)
    data = model.data_preprocessor(batch, True)
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert loss.isfinite() and {'loss_cls', 'loss_bbox'} <= logged.keys()
    assert devices(model) == {DEVICE}
    results = model.eval().val_step(batch)
    assert results[0].pred_instances.bboxes.device.type == DEVICE
    assert 0 < len(results[0].pred_instances) <= 100


# ---- two cards -----------------------------------------------------------------------------------


def rank_main(rank, port, data, folder):
    env = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({key: str(value) for key, value in env.items()})
    os.chdir(folder)  # mmengine's validation leaves a .dist_test where it is
    cfg = search(data, folder / 'run', launcher='pytorch')
    cfg.model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')
    cfg.default_hooks.norm_stats = dict(type='cream_mm.NormStatsHook')
    cfg.default_hooks.path_log = dict(type='cream_mm.PathLogHook')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert type(runner.model) is PathDataParallel
    model = unwrap(runner.model)
    saved = dict(
        model=model.state_dict(),
        device=str(next(model.parameters()).device),
        backend=torch.distributed.get_backend(),
        board=[(str(e.arch), e.score, e.macs) for e in model.board.entries],
    )
    torch.save(saved, folder / f'rank{rank}.pt')


def test_two_cards_stay_equal(data, tmp_path):
    """``PathDataParallel`` over nccl: search, meta steps, ratings of each rank's share."""
    if torch.cuda.device_count() < 2:
        pytest.skip('needs two CUDA devices')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.start_processes(rank_main, (port, data, tmp_path), 2, start_method='spawn')
    first, second = (
        torch.load(tmp_path / f'rank{rank}.pt', map_location='cpu', weights_only=True)
        for rank in (0, 1)
    )
    assert first['backend'] == 'nccl'
    assert [first.pop('device'), second.pop('device')] == ['cuda:0', 'cuda:1']
    assert len(first['board']) == 3 and not differences(first, second)
    lines = (tmp_path / 'run/path_log.jsonl').read_text().splitlines()
    assert len(lines) == len({json.loads(line)['step'] for line in lines}) > 6
    assert json.loads((tmp_path / 'run/best_arch.json').read_text())['rating']['num_images'] == 9
