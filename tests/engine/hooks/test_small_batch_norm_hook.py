"""Batch norm of small batches: frozen, or measured, while the steps stay what they were."""

import logging
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from test_runner import data, retraining  # noqa: F401
from torch import nn

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.hooks.small_batch_norm_hook import REFIT_BATCH, SmallBatchNormHook


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


def run(data, folder, hooks=(), batch_size=4, checkpoint=None, **kwargs):  # noqa: F811
    cfg = retraining(data, folder)
    cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
    cfg.train_dataloader.batch_size = batch_size
    cfg.train_cfg.max_epochs = 2
    if checkpoint:
        init = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
        cfg.model.backbone.init_cfg = init
        cfg.model.head.update(norm_cfg=dict(type='BN'), act='relu')
    cfg.merge_from_dict(kwargs)
    runner, lines = Runner.from_cfg(cfg), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    runner.logger.setLevel('INFO')
    runner.logger.addHandler(handler)
    runner.train()
    runner.logger.removeHandler(handler)
    return runner, [line for line in lines if line.startswith('Batch norm sees')]


def states(folder, epoch=2):
    """The average's, and that of the weights which are trained."""
    content = load_checkpoint_file(folder / f'epoch_{epoch}.pth')
    raw = {k.removeprefix('module.'): v for k, v in content['ema_state_dict'].items()}
    raw.pop('steps')
    return content['state_dict'], raw


HOOK = dict(type='cream_mm.SmallBatchNormHook')


@pytest.fixture(scope='module')
def plain(data, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp('plain')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', 'seed = 3')
        runner, _ = run(data, folder)
    return folder, runner


def test_new_layers_are_measured(data, tmp_path, plain):  # noqa: F811
    """Of the average and of the trained weights, each by its own; no step is changed by it."""
    folder, runner = plain
    _, (line,) = run(data, tmp_path, [HOOK])
    count = sum(isinstance(m, nn.BatchNorm2d) for m in runner.model.modules())
    assert line == (
        f'Batch norm sees 4 images at a time; {count} layers are fitted to 36 training images '
        'before each validation'
    )
    train, val = runner.train_dataloader.dataset, runner.val_dataloader.dataset
    images = [val.pipeline(train.get_data_info(i)) for i in range(len(train))]
    images = torch.stack([image['inputs'] for image in images])
    names = {name for name, _ in runner.model.named_parameters()}
    for mine, before in zip(states(tmp_path), states(folder)):
        assert all(torch.equal(mine[name], before[name]) for name in names)
        runner.model.load_state_dict(mine)
        means, variances = [], []
        for batch in images.split(REFIT_BATCH):
            inputs = runner.model.data_preprocessor(dict(inputs=list(batch)), False)['inputs']
            maps = runner.model.backbone.conv_stem(inputs)
            means.append(maps.mean((0, 2, 3)))
            variances.append(maps.var((0, 2, 3)))  # unbiased, as torch keeps it
        for key, parts in (('mean', means), ('var', variances)):
            expected = torch.stack(parts).mean(0)
            assert torch.allclose(mine[f'backbone.bn1.running_{key}'], expected, rtol=1e-4)
            other = before[f'backbone.bn1.running_{key}']
            assert not torch.allclose(other, expected, rtol=1e-2)


def test_layers_that_came_with_statistics_are_frozen(data, tmp_path, plain):  # noqa: F811
    folder, _ = plain
    first = folder / 'epoch_2.pth'
    runner, (line,) = run(data, tmp_path, [HOOK], checkpoint=first)
    before, (_, raw) = load_checkpoint_file(first)['state_dict'], states(tmp_path)
    norms = [n for n, m in runner.model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    of_backbone = [name for name in norms if name.startswith('backbone.')]
    assert f': {len(of_backbone)} of {len(norms)} layers came with statistics' in line
    assert f'; {len(norms) - len(of_backbone)} layers are fitted to 36 training' in line
    for name in of_backbone:
        for key in ('running_mean', 'running_var'):
            assert torch.equal(raw[f'{name}.{key}'], before[f'{name}.{key}'])
    assert any(not torch.equal(raw[f'{n}.weight'], before[f'{n}.weight']) for n in of_backbone)
    # Resumed, what was new has statistics of its own, and is no less new.
    cut = shutil.copytree(tmp_path, tmp_path / 'cut')
    (cut / 'epoch_2.pth').unlink()
    (cut / 'last_checkpoint').unlink()
    run(data, cut, [HOOK], checkpoint=first, resume=True)
    for ours, theirs in zip(states(cut), states(tmp_path)):
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize(
    'shapes, expected',
    [
        (20 * 'lu', [[(4, 6)] * 16, [(6, 4)] * 16, [(4, 6)] * 4, [(6, 4)] * 4]),
        (17 * 'l' + 'u', [[(4, 6)] * 16]),  # a single one is left out
        ('l', [[(4, 6)]]),  # unless it is all that there is
    ],
)
def test_images_are_not_padded_to_other_shapes(shapes, expected):
    hook = SmallBatchNormHook()
    sides = dict(l=(4, 6), u=(6, 4))
    hook._images = [dict(inputs=torch.zeros(3, *sides[letter])) for letter in shapes]
    found = [[tuple(one['inputs'].shape[1:]) for one in batch] for batch in hook._batches()]
    assert found == expected


@pytest.mark.parametrize('gpus, is_synced, frozen', [(8, True, 0), (8, False, 1), (3, True, 1)])
def test_synchronised_layers_see_the_images_of_all_ranks(gpus, is_synced, frozen):
    """A detector's 2 images on each of 8 GPUs are 16; of a layer from scratch none is frozen."""
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    model[0].running_mean += 1  # came with statistics
    if is_synced:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    hub, images = {}, [None] * 100
    runner = SimpleNamespace(
        model=model, world_size=gpus, val_loop=None, logger=logging.getLogger(),
        train_dataloader=SimpleNamespace(batch_size=2, dataset=images),
        message_hub=SimpleNamespace(get_info=hub.get, update_info=hub.__setitem__),
    )  # fmt: skip
    hook = SmallBatchNormHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert [m.training for m in model] == [not frozen, True]
    assert hub['frozen_norms'] == ['0'] * frozen


def test_large_batches_stay(data, tmp_path):  # noqa: F811
    runner, lines = run(data, tmp_path, [HOOK], batch_size=8)
    assert lines == [] and runner.message_hub.get_info('frozen_norms') == []
    assert int(runner.model.backbone.bn1.num_batches_tracked) == 2 * 5  # nothing was measured


def test_runs_that_count_steps_are_refused(data, tmp_path):  # noqa: F811
    loop = dict(train_cfg=dict(_delete_=True, by_epoch=False, max_iters=2, val_interval=1))
    with pytest.raises(ValueError, match='refit=0'):
        run(data, tmp_path, [HOOK], **loop)
