"""Stages that share banks in a real Runner: plain and with Cream's board, killed, exported."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from cream_mm.apis.export_arch import export_arch
from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.models.backbones.resolve_arch import resolve_arch
from cream_mm.testing import run_differences, tiny_space, write_image_folder

ROOT = Path(__file__).parents[3]
SPACE = tiny_space(depths=(4, 2))
LAST = 'epoch_3.pth'


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    """Formatting a config takes longer than training here."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def search(data, work_dir, method, resume=False):
    """Banks begin at epochs 1, 2 and 3, of 7 steps each."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    backbone = dict(type='cream_mm.SharedStageSupernet', space=SPACE.to_dict())
    head = dict(type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16)
    model = dict(
        backbone=backbone, head=head,
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    )  # fmt: skip
    hooks = [dict(type='cream_mm.CurriculumHook', schedule=(1, 2, 3), restart_at=())]
    rating = dict(bn_dataset=train, num_random=4, num_bn_images=16)
    if method == 'cream':
        model.update(
            type='cream_mm.Cream', input_size=8, board=dict(capacity=3, num_images=2),
            matching=dict(type='cream_mm.MetaMatching'),
        )  # fmt: skip
        meta = dict(dataset=held_out, interval=2, num_images=2, optimizer=dict(type='SGD', lr=1.0))
        hooks += [
            dict(type='cream_mm.BoardHook', warmup=0.2),
            dict(type='cream_mm.MetaMatchingHook', **meta),
        ]
        rating['type'] = 'cream_mm.BoardRatingLoop'
    else:
        model['type'] = 'ImageClassifier'
        backbone['costs'] = dict(input_size=8, num_classes=3, head_channels=16)
        rating['type'] = 'cream_mm.SearchLoop'
    loader = dict(num_workers=0)
    cfg = dict(
        default_scope='mmpretrain',
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            loader, batch_size=4, dataset=train, sampler=dict(type='DefaultSampler', shuffle=True)
        ),
        test_dataloader=dict(
            loader, batch_size=8, dataset=held_out,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=3),
        test_cfg=rating,
        test_evaluator=[] if method == 'cream' else dict(type='Accuracy', topk=(1,)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        default_hooks=dict(path_log=dict(type='cream_mm.PathLogHook')),
        custom_hooks=hooks,
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
        resume=resume,
    )  # fmt: skip
    return Runner.from_cfg(Config(cfg))


class Kill(Hook):
    """SIGKILL at a step; -1 is behind all that is done before the epoch."""

    priority = 'LOWEST'

    def __init__(self, epoch, step):
        self.epoch, self.step = epoch, step

    def before_train_epoch(self, runner):
        if (runner.epoch + 1, self.step) == (self.epoch, -1):
            os.kill(os.getpid(), signal.SIGKILL)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.epoch + 1, batch_idx) == (self.epoch, self.step):
            os.kill(os.getpid(), signal.SIGKILL)


def killed(*args, at, resume):
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        runner = search(*args, resume=resume)
        runner.register_hook(Kill(*at))
        try:
            runner.train()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize('method', ['plain', 'cream'])
def test_a_search_killed_around_its_splits_and_its_export(data, tmp_path, method):
    whole = search(data, tmp_path / 'whole', method)
    whole.train()
    for i, moment in enumerate([(1, 5), (2, -1), (2, 0), (3, -1), (3, 4)]):
        assert killed(data, tmp_path / 'run', method, at=moment, resume=i > 0)
    search(data, tmp_path / 'run', method, resume=True).train()
    assert run_differences(tmp_path / 'run', tmp_path / 'whole', LAST) == []

    weights = load_checkpoint_file(tmp_path / 'run' / LAST)['state_dict']
    assert int(weights['backbone.router.active']) == whole.model.backbone.num_active == 3
    # The export of a checkpoint with fewer banks than layers: of the end of the second epoch.
    best = str(tmp_path / 'run/best_arch.json')
    arch, space, _ = resolve_arch(best)
    assert space == SPACE
    second = tmp_path / 'run/epoch_2.pth'
    files = export_arch(best, str(second), str(tmp_path / 'export'), root=str(ROOT))
    weights = load_checkpoint_file(second)['state_dict']
    found = torch.load(files['weights'], weights_only=True)['state_dict']
    assert not [key for key in found if 'router' in key]
    for layer, bank in enumerate([0, 1, 2, 2]):  # the table of two banks
        choice = arch.stages[0][layer]
        for name in ('conv_pw.weight', 'bn2.running_mean', 'se.conv_expand.bias'):
            ours = found[f'backbone.blocks.1.{layer}.{name}']
            assert torch.equal(ours, weights[f'backbone.blocks.1.{bank}.{choice}.{name}'])
    whole.model.load_state_dict(weights)
    net = whole.model.backbone.eval()
    net.set_arch(arch)
    fixed = net.build_network(arch).eval()
    fixed.load_state_dict({k[9:]: v for k, v in found.items() if k.startswith('backbone.')})
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert net.num_active == 2 and torch.equal(net(images)[-1], fixed(images)[-1])


def test_rated_from_its_checkpoint(data, tmp_path):
    """The banks in use come with the weights."""
    search(data, tmp_path / 'run', 'plain').train()
    again = search(data, tmp_path / 'again', 'plain')
    again._load_from = str(tmp_path / 'run' / LAST)
    again.test()
    texts = [(tmp_path / name / 'best_arch.json').read_text() for name in ('run', 'again')]
    answers = [json.loads(text) for text in texts]
    assert again.model.backbone.num_active == 3
    assert answers[0]['arch'] == answers[1]['arch']
    assert answers[0]['rating'] == answers[1]['rating']


def test_the_config():
    cfg = load_config(str(ROOT / 'configs/close/search_mbconv.py'), check_data=False)
    model = cfg.model
    assert (model.type, model.backbone.type) == ('ImageClassifier', 'cream_mm.SharedStageSupernet')
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert kinds == ['cream_mm.CurriculumHook'] and len(cfg.custom_hooks[0].schedule) == 3
    assert model.backbone.router.num_banks == 3
    base = load_config(str(ROOT / 'configs/spos/search_imagenet.py'), check_data=False)
    for key in ('train_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler', 'train_dataloader'):
        assert cfg[key] == base[key]
