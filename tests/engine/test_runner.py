"""Runs that are killed and resumed, in real Runners around tiny models."""

import errno
import os
import resource
import shutil
import zipfile
from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS, RUNNERS
from mmengine.runner import Runner as MMEngineRunner
from test_work_dir_lock import ask, process
from torch.utils.data import BatchSampler

from cream_mm.checkpoints import load_checkpoint_file, load_weights
from cream_mm.checkpoints import whole_file as checkpoint_file
from cream_mm.checkpoints.whole_file import latest_checkpoint
from cream_mm.engine import Runner
from cream_mm.engine import runner as runner_module
from cream_mm.engine.work_dir_lock import LOCK_FILE, hold_work_dir
from cream_mm.models.backbones.pretrained import check_model
from cream_mm.testing import logged_scalars, run_differences, tiny_space, write_image_folder

_pretty_text = Config.pretty_text
_names = count()  # a Runner of an earlier name would find that one's log history in this process


@pytest.fixture(autouse=True, scope='module')
def _quick():
    """mmengine formats the config anew for each checkpoint, which takes longer than training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', 'seed = 3')
        yield


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    return write_image_folder(folder, classes=('a', 'b', 'c'), train=12, size=(12, 12))


def folder_of(data, part='all', augmented=False, **kwargs):
    random = [
        dict(type='cream_mm.RandomResizedCrop', scale=8),  # numpy
        dict(type='RandomFlip', prob=0.5),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4),
        dict(type='RandomErasing', erase_prob=0.5, mode='rand'),
    ]
    plain = [dict(type='Resize', scale=(8, 8))]
    pipeline = [
        dict(type='cream_mm.LoadImage'),
        *(random if augmented else plain),
        dict(type='PackInputs'),
    ]
    return dict(
        type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25,
        part=part, serialize_data=False, **kwargs,
    )  # fmt: skip


def loader(dataset, batch_size, shuffle, num_workers=0):
    return dict(
        batch_size=batch_size, num_workers=num_workers, dataset=dataset,
        persistent_workers=num_workers > 0, sampler=dict(type='DefaultSampler', shuffle=shuffle),
    )  # fmt: skip


def common(work_dir, **kwargs):
    cfg = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
            logger=dict(type='LoggerHook', interval=2),
        ),
        visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=3),
        log_level='ERROR',
        experiment_name=f'run-{next(_names)}',
    )
    return Config({**cfg, **kwargs})


def search(data, work_dir, mode='fixed', *, num_workers=0, **kwargs):
    """7 steps an epoch, 3 epochs, each validated; ends with its ratings."""
    train = folder_of(data, 'train', augmented=True)
    held_out, rated = folder_of(data, 'holdout'), folder_of(data, 'train')
    head = dict(
        type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16, dropout=0.3
    )
    meta = dict(type='cream_mm.MetaMatchingHook', interval=2, num_images=2)
    return common(
        work_dir,
        model=dict(
            type='cream_mm.Cream',
            compat=mode,
            input_size=8,
            backbone=dict(
                type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), out_indices=(3,)
            ),
            head=head,
            board=dict(capacity=3, num_images=2),
            matching=dict(type='cream_mm.MetaMatching'),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        train_dataloader=loader(train, 4, True, num_workers),
        val_dataloader=loader(folder_of(data, folder='val'), 4, True),
        test_dataloader=loader(held_out, 8, False),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=3, val_interval=1),
        val_cfg=dict(type='cream_mm.SupernetValLoop'),
        val_evaluator=dict(type='Accuracy', topk=(1,)),
        test_cfg=dict(
            type='cream_mm.BoardRatingLoop', bn_dataset=rated, num_random=3, num_bn_images=16
        ),
        test_evaluator=[],
        optim_wrapper=dict(
            constructor='cream_mm.MergedGroupsConstructor',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-3),
            paramwise_cfg=dict(custom_keys={'matching': dict(lr_mult=1e-2, decay_mult=0.0)}),
        ),
        param_scheduler=[dict(type='LinearLR', end_factor=0.01, end=3, convert_to_iter_based=True)],
        custom_hooks=[
            dict(type='cream_mm.BoardHook', warmup=0.3),
            meta if mode == 'official' else dict(meta, dataset=held_out),
        ],
        **kwargs,
    )


def retraining(data, work_dir, num_workers=0, mixup=False, **kwargs):
    """9 steps an epoch, 3 epochs; augmentation, dropout, EMA, the best checkpoint kept."""
    val = loader(folder_of(data, folder='val'), 4, False)
    cfg = common(
        work_dir,
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='cream_mm.CreamNet', arch=[[0], [0, 1], [1, 0], [0]],
                space=tiny_space().to_dict(), out_indices=(3,),
            ),
            head=dict(
                type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16,
                dropout=0.5,
            ),
            data_preprocessor=dict(num_classes=3, mean=[127.5] * 3, std=[127.5] * 3),
            train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]) if mixup else None,
        ),
        train_dataloader=loader(folder_of(data, augmented=True), 4, True, num_workers),
        val_dataloader=val,
        val_cfg=dict(),
        val_evaluator=dict(type='Accuracy', topk=(1,)),
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
        optim_wrapper=dict(
            optimizer=dict(
                type='cream_mm.RMSpropTF', lr=0.01, alpha=0.9, momentum=0.9, eps=1e-3
            )
        ),
        param_scheduler=[
            dict(type='cream_mm.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-6, T_max=3)
        ],
        custom_hooks=[
            dict(type='cream_mm.EMAHook', update_buffers=True, priority='ABOVE_NORMAL')
        ],
        **kwargs,
    )  # fmt: skip
    cfg.default_hooks.checkpoint.save_best = 'auto'
    return cfg


@DATA_SAMPLERS.register_module()
class CutInTwos(BatchSampler):
    def __init__(self, sampler, batch_size):
        super().__init__(sampler, batch_size, drop_last=True)


class Killed(BaseException):
    """Nothing catches it, so what is on the disk is what a kill leaves."""


class Kill(Hook):
    priority = 'LOWEST'

    def __init__(self, at, stage='after_train_iter'):
        self.at = at

        def strike(runner, *args, **kwargs):
            if runner.iter == at:
                raise Killed

        setattr(self, stage, strike)


def run(build, *kills):
    """Run to the end, killed at each of ``kills`` = (iteration, stage) on the way."""
    for number, kill in enumerate((*kills, None)):
        runner = Runner.from_cfg(build(resume=number > 0))
        if kill is None:
            runner.train()
            return runner
        runner.register_hook(Kill(*kill))
        with pytest.raises(Killed):
            runner.train()


# ---- exact resume ------------------------------------------------------------------------------


@pytest.mark.parametrize('mode', ['fixed', 'paper', 'official'])
def test_a_killed_search_ends_like_the_whole_one(data, tmp_path, mode):
    def build(name):
        return lambda **kwargs: search(data, tmp_path / name, mode, **kwargs)

    run(build('whole'))
    run(build('killed'), (3,), (14, 'before_val_epoch'), (17,), (21, 'after_val_epoch'))
    assert not run_differences(tmp_path / 'killed', tmp_path / 'whole', 'epoch_3.pth')
    assert ('val', 3, 'accuracy/top1') in logged_scalars(tmp_path / 'whole')


@pytest.mark.parametrize('mixup', [False, True])
def test_a_killed_retraining_ends_like_the_whole_one(data, tmp_path, mixup):
    def build(name, **kwargs):
        return lambda **more: retraining(data, tmp_path / name, mixup=mixup, **kwargs, **more)

    run(build('whole'))
    run(build('killed'), (12,), (18, 'before_val_epoch'), (26,), (27, 'before_val_epoch'))
    assert not run_differences(tmp_path / 'killed', tmp_path / 'whole', 'epoch_3.pth')
    content = load_checkpoint_file(tmp_path / 'whole/epoch_3.pth')
    assert 'module.head.classifier.weight' in content['ema_state_dict']
    assert list((tmp_path / 'whole').glob('best_*.pth'))


def test_any_number_of_workers_gives_the_same(data, tmp_path):
    run(lambda **kw: retraining(data, tmp_path / 'none', num_workers=0, **kw))
    run(lambda **kw: retraining(data, tmp_path / 'two', num_workers=2, **kw), (13,))
    assert not run_differences(tmp_path / 'two', tmp_path / 'none', 'epoch_3.pth')


def test_another_seed_gives_another_run(data, tmp_path):
    run(lambda **kw: retraining(data, tmp_path / 'a', **kw))
    run(lambda **kw: retraining(data, tmp_path / 'b', **{**kw, 'randomness': dict(seed=4)}))
    assert run_differences(tmp_path / 'a', tmp_path / 'b', 'epoch_3.pth')


# ---- a config that is another one --------------------------------------------------------------


class Rates(Hook):
    """Learning rate and size of the batch in each step."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        rate = runner.optim_wrapper.param_groups[0]['lr']
        self.seen[runner.iter] = rate, len(data_batch['inputs'])


def test_what_a_resumed_run_does_otherwise_is_said(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', _pretty_text)

    def start(work_dir, **changes):
        cfg = retraining(data, tmp_path / work_dir, resume=bool(changes))
        cfg.merge_from_dict(changes)
        runner, told, rates = Runner.from_cfg(cfg), [], Rates()
        runner.register_hook(rates)
        warning = runner.logger.warning
        monkeypatch.setattr(
            runner.logger, 'warning', lambda text, *args: [told.append(text), warning(text, *args)]
        )
        runner.train()
        return rates.seen, [text for text in told if text.startswith('resume: ')]

    whole, told = start('whole')
    assert told == [] and whole[17] != whole[26]
    folder = tmp_path / 'changed'
    shutil.copytree(tmp_path / 'whole', folder)
    (folder / 'epoch_3.pth').unlink()
    (folder / 'last_checkpoint').unlink()
    rate = 'optim_wrapper.optimizer.lr'
    seen, told = start('changed', **{'train_dataloader.batch_size': 6, rate: 1.0})
    assert told == [
        'resume: train_dataloader.batch_size was 4, is 6: results change from here on',
        f"resume: {rate} was 0.01, is 1.0: not in effect: the checkpoint's optimizer and schedule "
        'go on',
        "resume: learning rates and their schedule are the checkpoint's, counted in its steps; to "
        'train on from its weights with others, give it as load_from instead of --resume',
    ]
    assert seen[18] == (whole[18][0], 6) and whole[18][1] == 4  # as was said


def test_a_resumed_run_that_would_be_neither_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', _pretty_text)
    cfg = search(data, tmp_path / 'run')
    cfg.train_cfg.max_epochs = 1
    Runner.from_cfg(cfg).train()
    saved = (tmp_path / 'run/epoch_1.pth').read_bytes()

    def refusal(mode='fixed', **changes):
        cfg = search(data, tmp_path / 'run', mode, resume=True)
        cfg.merge_from_dict(changes)
        runner = Runner.from_cfg(cfg)
        with pytest.raises(ValueError) as error:
            runner.train()
        assert runner.iter == 0 and 'give it as load_from' in str(error.value)
        return str(error.value)

    assert "model.compat.mode was 'fixed', is 'official'" in refusal('official')
    assert 'randomness.seed was 3, is 4' in refusal(**{'randomness.seed': 4})
    strides = refusal(**{'model.backbone.space.strides': [1, 2]})  # fits all weights
    assert 'model.backbone.space.strides was ' in strides
    for part in ('train', 'val'):
        shutil.copytree(data / part, tmp_path / 'renamed' / part)
        (tmp_path / 'renamed' / part / 'a').rename(tmp_path / 'renamed' / part / 'z')
    root = str(tmp_path / 'renamed')
    renamed = refusal(**{f'{side}_dataloader.dataset.data_root': root for side in ('train', 'val')})
    assert "its class 0 is 'a', that of the data 'b'" in renamed
    assert (tmp_path / 'run/epoch_1.pth').read_bytes() == saved


def test_a_second_process_writes_nothing(data, tmp_path):
    folder = tmp_path / 'run'
    cfg = retraining(data, folder)
    with process(hold_work_dir, folder) as other:
        assert other.said == 'ok'
        with pytest.raises(ValueError, match=f'in use by process {other.pid} on '):
            Runner.from_cfg(cfg)
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    assert 'in use' in ask(hold_work_dir, folder)
    runner.train()
    assert ask(hold_work_dir, folder) == 'ok'  # it has ended


# ---- files that are damaged, and a disk that is full -------------------------------------------


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory):
    """A finished retraining: checkpoints of epochs 2 and 3, and the best."""
    folder = tmp_path_factory.mktemp('finished') / 'run'
    run(lambda **kw: retraining(data, folder, **kw))
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / 'copied'))


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == 'truncated':
        del content[len(content) // 2 :]
    elif how == 'flipped':
        content[len(content) // 3] ^= 1
    elif how == 'empty':
        content.clear()
    path.write_bytes(content)


@pytest.mark.parametrize('how', ['truncated', 'flipped', 'empty'])
def test_a_damaged_newest_checkpoint_is_passed_over(data, finished, copied, how):
    damage(copied / 'epoch_3.pth', how)
    assert latest_checkpoint(copied) == copied / 'epoch_2.pth'
    run(lambda **kw: retraining(data, copied, **{**kw, 'resume': True}))
    assert not run_differences(copied, finished, 'epoch_3.pth')


def test_the_warning_names_both(copied, monkeypatch):
    told = []
    monkeypatch.setattr(checkpoint_file, 'print_log', lambda text, *args, **kw: told.append(text))
    damage(copied / 'epoch_3.pth', 'flipped')
    latest_checkpoint(copied)
    assert len(told) == 1 and 'epoch_3.pth is damaged' in told[0] and 'epoch_2.pth' in told[0]


def test_no_whole_checkpoint_is_one_error(data, copied):
    for name in ('epoch_2.pth', 'epoch_3.pth'):
        damage(copied / name, 'truncated')
    with pytest.raises(ValueError, match='no checkpoint in .* is whole.*epoch_3.*epoch_2'):
        Runner.from_cfg(retraining(data, copied, resume=True)).train()


def test_a_named_damaged_checkpoint_is_one_error(data, copied):
    path = copied / 'epoch_3.pth'
    damage(path, 'flipped')
    for settings in (dict(resume=True), {}):
        runner = Runner.from_cfg(retraining(data, copied, load_from=str(path), **settings))
        with pytest.raises(ValueError, match='epoch_3.pth is damaged'):
            runner.train()


def test_which_checkpoint_is_the_newest(tmp_path):
    def save(name):
        with open(tmp_path / name, 'wb') as file:
            torch.save(dict(state_dict={}), file)

    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / 'nowhere') is None
    for name in ('epoch_2.pth', 'epoch_10.pth', 'best_accuracy_epoch_11.pth'):
        save(name)
    # Killed before the first last_checkpoint.
    assert latest_checkpoint(tmp_path).name == 'epoch_10.pth'
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')
    assert latest_checkpoint(tmp_path).name == 'epoch_2.pth'  # epoch_10 is of an earlier run; moved
    save('epoch_9.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    (tmp_path / 'epoch_10.pth').unlink()
    assert latest_checkpoint(tmp_path).name == 'epoch_9.pth'
    (tmp_path / 'last_checkpoint').write_bytes(b'\xff\0nonsense')
    assert latest_checkpoint(tmp_path).name == 'epoch_9.pth'


def test_a_last_checkpoint_that_is_gone_hides_none(tmp_path):
    folder, note = tmp_path / 'run', tmp_path / 'run/last_checkpoint'
    folder.mkdir()

    def save(path):
        path.parent.mkdir(exist_ok=True)
        torch.save(dict(state_dict={}), path)

    for number in (2, 3, 10):
        save(folder / f'epoch_{number}.pth')
    for gone, found in (
        ('/gone/epoch_4.pth', 'epoch_3.pth'),
        ('/gone/epoch_1.pth', 'epoch_10.pth'),  # none before it: what is here may be of its run
        ('/gone/deeper/best.pth', 'epoch_10.pth'),
        ('/gone/iter_500.pth', 'epoch_10.pth'),
        ('gone/epoch_11.pth', 'epoch_10.pth'),
        (f'{tmp_path}/epoch_3.pth', 'epoch_3.pth'),  # moved
        (f'{tmp_path}/epoch_4.pth', 'epoch_3.pth'),  # the folder is there, the file is not
        ('x' * 5000, 'epoch_10.pth'),
        ('/', 'epoch_10.pth'),
    ):
        note.write_text(gone)
        assert latest_checkpoint(folder) == folder / found, gone
    save(tmp_path / 'apart/epoch_5.pth')  # checkpoints with a folder of their own
    note.write_text(f'{tmp_path}/apart/epoch_6.pth')
    assert latest_checkpoint(folder).name in ('epoch_5.pth', 'epoch_3.pth')
    note.write_text(f'{tmp_path}/apart/epoch_5.pth')
    assert latest_checkpoint(folder) == tmp_path / 'apart/epoch_5.pth'
    note.write_text(f'{folder}/epoch_1.pth')  # here, and gone: 10 is of an earlier run
    with pytest.raises(ValueError, match=r'no checkpoint .*epoch_1.pth.*epoch_10.pth is of an ear'):
        latest_checkpoint(folder)


def test_a_full_disk_leaves_the_checkpoint_before(data, finished, tmp_path, monkeypatch):
    """The second checkpoint cannot be written, with only one of them kept."""
    folder = tmp_path / 'run'

    def build(**kwargs):
        cfg = retraining(data, folder, **kwargs)
        cfg.default_hooks.checkpoint.max_keep_ckpts = 1
        return cfg

    real = os.fsync
    names = []

    def full(number):
        names.append(os.readlink(f'/proc/self/fd/{number}'))
        if names[-1].endswith('epoch_2.pth.tmp'):
            raise OSError(errno.ENOSPC, 'No space left on device')
        return real(number)

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='epoch_2.pth: No space left.*--resume') as error:
        Runner.from_cfg(build()).train()
    assert error.value.errno == errno.ENOSPC
    assert not list(folder.glob('*.tmp')) and not (folder / 'epoch_2.pth').exists()
    assert latest_checkpoint(folder).name == 'epoch_1.pth'

    monkeypatch.setattr(os, 'fsync', real)
    Runner.from_cfg(build(resume=True)).train()
    assert not (folder / 'epoch_1.pth').exists()
    ours, theirs = (load_weights(f / 'epoch_3.pth') for f in (folder, finished))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_checkpoint_is_read_by_others(finished):
    path = finished / 'epoch_3.pth'
    content = torch.load(path, weights_only=True)  # nothing but tensors and plain values
    assert content['meta']['epoch'] == 3
    assert zipfile.ZipFile(path).comment.startswith(b'cream_mm sha256 ')


def test_a_best_checkpoint_elsewhere_is_not_deleted(data, copied, tmp_path):
    """mmengine deletes what a checkpoint names as the best so far, when a better one comes."""
    other = tmp_path / 'thesis.pth'
    other.write_text('mine')
    content = torch.load(copied / 'epoch_2.pth', weights_only=True)
    info = content['message_hub']['runtime_info']
    info.update(best_ckpt=str(other), best_score=-1.0, keep_ckpt_ids=['../thesis', 1, 2, 'x'])
    torch.save(content, copied / 'epoch_2.pth')
    cfg = retraining(data, copied, resume=True, load_from=str(copied / 'epoch_2.pth'))
    Runner.from_cfg(cfg).train()
    assert other.read_text() == 'mine'


# ---- files that are not trusted ----------------------------------------------------------------


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


class Nested:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return getattr, (Evil(self.marker), '__class__')


def hostile(content, marker, kind):
    code = f'import os\nos.system("touch {marker}")\n'
    meta, hub = content['meta'], content['message_hub']
    if kind == 'reduce':
        content['extra'] = Evil(marker)
    elif kind == 'nested reduce':
        content['extra'] = [dict(deep=(Nested(marker),))]
    elif kind == 'os.system in meta':
        meta['experiment_name'] = Evil(marker)
    elif kind == 'code in meta':
        meta['config'] = meta['cfg'] = code
    elif kind == 'message hub':
        hub['runtime_info']['cfg'] = Evil(marker)
        hub['log_scalars']['train/loss'] = Evil(marker)
    elif kind == 'optimizer':
        content['optimizer']['state'] = {**content['optimizer']['state'], 'x': Evil(marker)}
    elif kind == 'dataset_meta':
        meta['dataset_meta'] = Evil(marker)
    return content


KINDS = ['reduce', 'nested reduce', 'os.system in meta', 'code in meta', 'message hub',
         'dataset_meta']  # fmt: skip


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('resume', [True, False])
def test_nothing_in_a_file_is_executed(data, finished, tmp_path, kind, resume):
    marker, path = tmp_path / 'executed', tmp_path / 'hostile.pth'
    content = torch.load(finished / 'epoch_3.pth', weights_only=True)
    torch.save(hostile(content, marker, kind), path)
    cfg = retraining(data, tmp_path / 'run', resume=resume, load_from=str(path))
    if not resume:
        cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert not marker.exists()
    assert runner.epoch == (3 if resume else 1)


@pytest.mark.parametrize('kind', ['reduce', 'nested reduce', 'os.system in meta'])
def test_nothing_is_executed_by_pretrained(data, finished, tmp_path, kind):
    marker, path = tmp_path / 'executed', tmp_path / 'hostile.pth'
    content = torch.load(finished / 'epoch_3.pth', weights_only=True)
    torch.save(hostile(content, marker, kind), path)
    cfg = retraining(data, tmp_path / 'run')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    assert not marker.exists()
    key = 'backbone.conv_stem.weight'
    assert torch.equal(runner.model.state_dict()[key], load_weights(path)[key])


def spoil(content, marker, kind):
    """A checkpoint that must not be resumed, and that no step may find out about."""
    optimizer, schedulers = content['optimizer'], content['param_schedulers']
    if kind == 'optimizer state':
        optimizer['state'][0] = {k: torch.zeros(7, 7) for k in optimizer['state'][0]}
    elif kind == 'optimizer groups':
        optimizer['param_groups'] = [Evil(marker)]
    elif kind == 'learning rate':
        optimizer['param_groups'][0]['lr'] = Evil(marker)
    elif kind == 'schedulers':
        content['param_schedulers'] = 5
    elif kind == 'scheduler method':
        schedulers[0]['step'] = Evil(marker)
        schedulers[0]['get_last_value'] = 'x'
    elif kind == 'weights':
        name = 'backbone.conv_stem.weight'
        content['state_dict'][name] = torch.zeros(1)
    elif kind == 'averaged weights':
        content['ema_state_dict'] = 5
    elif kind == 'repeated element':
        content['optimizer']['state'][0]['square_avg'] = torch.zeros(1).expand(2**50)
    return content


def peak_memory():
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('optimizer state', r'"optimizer.state.0.\w+" is shape \[7, 7\], not shape \['),
        ('optimizer groups', '"optimizer.param_groups.0" is None'),
        ('learning rate', '"optimizer.param_groups.0.lr" is None'),
        ('schedulers', '"param_schedulers" is 5'),
        ('scheduler method', 'param_schedulers.0.get_last_value'),
        ('weights', r'"state_dict.backbone.conv_stem.weight" is shape \[1\], not shape'),
        ('averaged weights', '"ema_state_dict" is 5'),
        ('repeated element', 'larger than its data'),
    ],
)
def test_state_that_does_not_fit_is_one_error(data, finished, tmp_path, kind, message):
    marker, path = tmp_path / 'executed', tmp_path / 'hostile.pth'
    content = torch.load(finished / 'epoch_2.pth', weights_only=True)
    torch.save(spoil(content, marker, kind), path)
    runner = Runner.from_cfg(retraining(data, tmp_path / 'run', resume=True, load_from=str(path)))
    before = peak_memory()
    with pytest.raises(ValueError, match=message) as error:
        runner.train()
    assert peak_memory() - before < 2**28
    assert not marker.exists() and runner.iter == 0
    assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('kind', ['huge storage', 'cut', 'compressed', 'bytes'])
def test_a_file_that_cannot_be_read_is_one_error(data, finished, tmp_path, kind):
    path = tmp_path / 'hostile.pth'
    content = dict(torch.load(finished / 'epoch_2.pth', weights_only=True), number=12345678)
    torch.save(content, path)
    code = path.read_bytes()
    if kind == 'cut':
        path.write_bytes(code[: len(code) // 2])
    elif kind == 'bytes':
        path.write_bytes(b'\x80\x02' + os.urandom(1000))
    else:
        with zipfile.ZipFile(path) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        packed = zipfile.ZIP_DEFLATED if kind == 'compressed' else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, 'w', packed) as archive:
            for name, record in records.items():
                if name.endswith('data.pkl') and kind == 'huge storage':
                    at = record.index(b'K', record.index(b'cpu'))  # elements of the first storage
                    size = {b'K': 2, b'M': 3}[record[at : at + 1]]
                    huge = b'\x8a\x08' + (2**50).to_bytes(8, 'little')
                    record = record[:at] + huge + record[at + size :]
                archive.writestr(name, record)
    runner = Runner.from_cfg(retraining(data, tmp_path / 'run', resume=True, load_from=str(path)))
    before = peak_memory()
    with pytest.raises(ValueError, match='hostile.pth is not a readable checkpoint') as error:
        runner.train()
    assert peak_memory() - before < 2**28
    assert '\n' not in str(error.value)
    if kind == 'huge storage':
        assert f'claims {2**50} elements' in str(error.value)


def test_a_message_hub_of_anything_is_resumed(data, finished, tmp_path):
    """It is for the log: what is no history is left behind."""
    path = tmp_path / 'hostile.pth'
    content = torch.load(finished / 'epoch_2.pth', weights_only=True)
    ones = torch.ones(3)
    content['message_hub'] = dict(
        log_scalars={'train/loss': dict(values=ones.bfloat16(), counts=ones),
                     'train/lr': dict(values=torch.tensor(1.0), counts=ones),
                     'train/time': dict(values=torch.ones(2, 3), counts='x')},
        runtime_info=dict(epoch='x', iter=[1], cfg=5, keep_ckpt_ids='x'),
        resumed_keys=dict(epoch=True, nothing=True),
    )  # fmt: skip
    torch.save(content, path)
    runner = Runner.from_cfg(retraining(data, tmp_path / 'run', resume=True, load_from=str(path)))
    runner.train()
    assert runner.epoch == 3


def test_the_hostile_files_would_run_elsewhere(finished, tmp_path):
    marker, path = tmp_path / 'executed', tmp_path / 'hostile.pth'
    content = torch.load(finished / 'epoch_3.pth', weights_only=True)
    torch.save(hostile(content, marker, 'os.system in meta'), path)
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_weights_alone_cannot_be_resumed(data, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={'x': torch.zeros(2)}, meta=dict(epoch='1')), path)
    runner = Runner.from_cfg(retraining(data, tmp_path / 'run', resume=True, load_from=str(path)))
    with pytest.raises(ValueError, match='give it as load_from'):
        runner.train()


def test_a_checkpoint_of_mmengine_is_resumed(data, tmp_path):
    """Its log history is left behind: it is stored as objects."""
    cfg = retraining(data, tmp_path / 'run')
    cfg.train_cfg.max_epochs = 1
    MMEngineRunner.from_cfg(cfg).train()
    runner = Runner.from_cfg(retraining(data, tmp_path / 'run', resume=True))
    runner.train()
    assert runner.epoch == 3


def test_a_checkpoint_of_another_model_is_not_tested(data, finished, tmp_path):
    """Nothing of it is loaded, not into the averaged copy either."""
    content = torch.load(finished / 'epoch_3.pth', weights_only=True)
    for fits in (True, False):
        if not fits:
            name = 'head.classifier.weight'
            content['state_dict'][name] = content['state_dict'][name][:2]
        torch.save(content, tmp_path / 'a.pth')
        cfg = retraining(data, tmp_path / f'{fits}', load_from=str(tmp_path / 'a.pth'))
        runner = Runner.from_cfg(cfg)
        runner.whole_weights = True  # as in test() and val()
        runner.call_hook('before_run')
        averaged = next(hook.ema_model for hook in runner.hooks if hasattr(hook, 'ema_model'))
        before = [v.clone() for v in averaged.state_dict().values()]
        if fits:
            runner.load_or_resume()
            continue
        runner.cfg.num_classes = len(content['meta']['dataset_meta']['classes'])
        with pytest.raises(ValueError, match='a.pth is not a checkpoint of this config: 1 of its'):
            runner.load_or_resume()
        runner.cfg.num_classes += 2
        with pytest.raises(
            ValueError, match='which has 5 classes, by its data; it was trained on 3'
        ):
            runner.load_or_resume()
        after = averaged.state_dict().values()
        assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_the_config_of_a_resumed_run_is_tested(data, finished, tmp_path):
    """It says resume=True; a test takes the weights, and has no schedule to restore."""
    name = str(finished / 'epoch_3.pth')
    cfg = retraining(data, tmp_path, resume=True, load_from=name)
    cfg.update(test_dataloader=cfg.val_dataloader, test_cfg=dict(), test_evaluator=[])
    runner = Runner.from_cfg(cfg)
    runner.test()
    expected = load_weights(name)
    got = runner.model.state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[key], value) for key, value in expected.items())


def loading(data, tmp_path, change, **settings):
    """A retraining from the finished one's checkpoint after ``change``, and what it logs."""
    content = torch.load(tmp_path / 'epoch_3.pth', weights_only=True)
    content['state_dict'] = change(content['state_dict'])
    torch.save(content, tmp_path / 'a.pth')
    cfg = retraining(data, tmp_path / 'run', load_from=str(tmp_path / 'a.pth'), **settings)
    runner = Runner.from_cfg(cfg)
    lines = []
    runner.logger.info = lambda text, *_: lines.append(text)
    runner.call_hook('before_run')
    return runner, lines, content['state_dict']


@pytest.mark.parametrize('wrapper', ['', 'module.', '_orig_mod.model.'])
def test_load_from_says_how_much(data, copied, wrapper):
    rename = lambda state: {wrapper + k: v for k, v in state.items()}  # noqa: E731
    runner, lines, saved = loading(data, copied, rename)
    runner.load_or_resume()
    own = runner.model.state_dict()
    assert [k for k, v in saved.items() if not torch.equal(own[k.removeprefix(wrapper)], v)] == []
    assert f'{len(own)} of {len(own)} tensors loaded from {copied / "a.pth"}' in lines
    averaged = next(hook.ema_model for hook in runner.hooks if hasattr(hook, 'ema_model'))
    differ = [k for k, v in averaged.module.state_dict().items() if not torch.equal(own[k], v)]
    assert differ == []


def test_load_from_with_another_head(data, copied):
    """New, with a line, where one trains; refused where one tests."""

    def cut(state):
        heads = ('head.classifier.weight', 'head.classifier.bias')
        return {k: v[:1] if k in heads else v for k, v in state.items()}

    runner, lines, saved = loading(data, copied, cut)
    runner.load_or_resume()
    own = runner.model.state_dict()
    line = next(text for text in lines if 'tensors loaded' in text)
    assert f'{len(own) - 2} of {len(own)} tensors loaded' in line
    assert 'new, with fresh weights: head.classifier.weight is [' in line
    assert torch.equal(own['backbone.conv_stem.weight'], saved['backbone.conv_stem.weight'])
    runner, _, _ = loading(data, copied, cut)
    with pytest.raises(ValueError, match='is not a checkpoint of this config: 2 of its'):
        runner.val()
    runner, _, _ = loading(data, copied, cut, resume=True)
    with pytest.raises(ValueError, match='cannot be resumed.*head.classifier'):
        runner.load_or_resume()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda state: {'layer1.weight': torch.zeros(2)}, '0 of .* tensors of CreamNet are in'),
        (lambda state: {k: v for k, v in state.items() if 'blocks.1' not in k}, 'CreamNet are in'),
        (lambda state: {**state, 'backbone.blocks.1.9.conv_pw.weight': torch.zeros(1)},
         'beyond it: blocks.1.9'),
        (lambda state: {k.removeprefix('backbone.'): v for k, v in state.items()},
         'a backbone alone is model.backbone.init_cfg'),
    ],
)  # fmt: skip
def test_load_from_refuses_another_model(data, copied, change, message):
    runner, _, _ = loading(data, copied, change)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        runner.load_or_resume()
    assert all(torch.equal(v, before[k]) for k, v in runner.model.state_dict().items())


def test_a_resume_needs_every_tensor(data, copied):
    def drop(state):
        return {k: v for k, v in state.items() if k != 'backbone.conv_stem.weight'}

    runner, _, _ = loading(data, copied, drop, resume=True)
    with pytest.raises(ValueError, match='cannot be resumed.*lacks 1 of .*conv_stem.weight'):
        runner.load_or_resume()


def test_a_model_of_others_is_loaded_in_part_and_not_from_nothing(tmp_path):
    model = torch.nn.Linear(2, 3)
    line = check_model(model, {'weight': torch.zeros(3, 2)}, 'f.pth')
    assert line == '1 of 2 tensors loaded from f.pth; new, with fresh weights: bias'
    with pytest.raises(ValueError, match='no tensor of Linear is in f.pth.*begin with w, .*weight'):
        check_model(model, {'w': torch.zeros(3, 2)}, 'f.pth')


def test_a_file_without_weights_is_named(data, tmp_path):
    torch.save(dict(meta=dict(epoch=1)), tmp_path / 'a.pth')
    cfg = retraining(data, tmp_path / 'run', load_from=str(tmp_path / 'a.pth'))
    with pytest.raises(ValueError, match='a.pth: it holds no weights'):
        Runner.from_cfg(cfg).load_or_resume()


@pytest.mark.parametrize('sealed', [True, False])
def test_a_named_checkpoint_is_read_once(data, copied, monkeypatch, sealed):
    path = copied / 'epoch_3.pth'
    if not sealed:
        torch.save(torch.load(path, weights_only=True), path)
    reads = []
    for module in (checkpoint_file, runner_module):
        load = module.load_checkpoint_file
        monkeypatch.setattr(
            module,
            'load_checkpoint_file',
            lambda path, load=load: [reads.append(path), load(path)][1],
        )
    runner = Runner.from_cfg(retraining(data, copied, load_from=str(path)))
    runner.call_hook('before_run')
    runner.load_or_resume()
    assert reads == [path]


def test_it_is_found_by_its_name(data, tmp_path):
    runner = RUNNERS.build(retraining(data, tmp_path / 'run', runner_type='cream_mm.Runner'))
    assert type(runner) is Runner
    names = [type(hook).__name__ for hook in runner.hooks]
    assert 'SeedHook' in names and names.count('CheckpointHook') == 1


def test_the_rate_is_scaled_where_a_batch_sampler_cuts_the_batches(data, tmp_path):
    """As every config of a detector has it: the loader itself then has no batch size."""
    rates = []
    for name, own in (('plain', None), ('own', dict(type='CutInTwos'))):
        cfg = retraining(data, tmp_path / name, auto_scale_lr=dict(enable=True, base_batch_size=8))
        cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, []
        cfg.train_dataloader.batch_sampler = own
        runner = Runner.from_cfg(cfg)
        runner.train()
        rates.append(runner.optim_wrapper.get_lr()['lr'])
    assert rates == [[0.005]] * 2


def test_a_config_says_how_many_threads_pytorch_works_with(data, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    try:
        Runner.from_cfg(search(data, tmp_path / 'one', env_cfg=dict(num_threads=before + 1)))
        assert torch.get_num_threads() == before + 1
        torch.set_num_threads(before)
        monkeypatch.setenv('OMP_NUM_THREADS', str(before))  # the user's own choice stands
        Runner.from_cfg(search(data, tmp_path / 'two', env_cfg=dict(num_threads=before + 1)))
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('batch_sampler', [None, dict(type=BatchSampler, drop_last=False)])
def test_the_learning_rate_is_scaled_by_the_batch_of_the_config(data, tmp_path, batch_sampler):
    """A DataLoader that was built with a batch_sampler, as of detectors, knows no batch size."""
    cfg = retraining(data, tmp_path, auto_scale_lr=dict(enable=True, base_batch_size=16))
    cfg.train_dataloader.batch_sampler = batch_sampler
    cfg.param_scheduler, cfg.train_cfg.max_epochs = None, 1
    rates = Rates()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(rates)
    runner.train()
    assert list(rates.seen.values()) == [(pytest.approx(0.01 * 4 / 16), 4)] * 9


def test_none_leaves_out_a_hook_of_any_name():
    runner = Runner.__new__(Runner)
    runner._hooks = []
    runner.register_default_hooks(dict(part_costs=None, data_time=None, timer=None))
    names = {type(hook).__name__ for hook in runner.hooks}
    assert {'LoggerHook', 'SeedHook', 'CheckpointHook'} <= names
    assert not names & {'PartCostsHook', 'DataTimeHook', 'IterTimerHook'}
