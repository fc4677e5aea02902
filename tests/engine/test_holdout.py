"""Held-out images stay held out when a run goes on under another rule."""

import pytest
import torch
from mmengine.config import Config

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.engine.holdout import check_holdout, keep_holdout
from cream_mm.testing import tiny_space, write_image_folder

OLD_CFG = "train_set = dict(part='train')\nheld_out_set = dict(part='holdout')"


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    return write_image_folder(root, classes=('a', 'b', 'c'), train=30, size=(8, 8))


def search(data, work_dir, holdout, **kwargs):
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(
        type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=holdout
    )
    sampler = dict(type='DefaultSampler', shuffle=True)
    loader = dict(batch_size=16, num_workers=0, sampler=sampler)
    cfg = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        model=dict(
            type='cream_mm.Cream',
            input_size=8,
            backbone=dict(
                type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), out_indices=(3,)
            ),
            head=dict(
                type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16
            ),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
        ),
        train_dataloader=dict(loader, dataset=dict(folder, part='train')),
        test_dataloader=dict(loader, dataset=dict(folder, part='holdout')),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=1),
        test_cfg=dict(
            type='cream_mm.BoardRatingLoop',
            bn_dataset=dict(folder, part='train'),
            num_random=2,
            num_bn_images=16,
        ),
        test_evaluator=[],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        log_level='ERROR',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}-{holdout}-{len(kwargs)}',
        **kwargs,
    )
    return Config(cfg)


def images_of(runner):
    datasets = runner.train_dataloader.dataset, runner.test_dataloader.dataset
    return [[d.get_data_info(i)['img_path'] for i in range(len(d))] for d in datasets]


@pytest.mark.slow
def test_a_resumed_run_keeps_its_split(data, tmp_path):
    first = Runner.from_cfg(search(data, tmp_path / 'old', 0.02))
    first.train()
    trained, held = images_of(first)
    assert len(trained) == 87 and len(held) == 3
    assert load_checkpoint_file(tmp_path / 'old/epoch_1.pth')['meta']['holdout'] == 0.02

    cfg = search(data, tmp_path / 'old', 'auto', resume=True)
    resumed = Runner.from_cfg(cfg)
    assert images_of(resumed) == [trained, held]
    assert resumed.cfg.test_cfg.bn_dataset.holdout == 0.02  # and it stands in the dumped config
    assert cfg.train_dataloader.dataset.holdout == 'auto'  # the caller's is as it was
    rated = Runner.from_cfg(
        search(data, tmp_path / 'rated', 'auto', load_from=str(tmp_path / 'old/epoch_1.pth'))
    )
    assert images_of(rated) == [trained, held]
    fresh = Runner.from_cfg(search(data, tmp_path / 'new', 'auto'))
    trained, held = images_of(fresh)
    assert len(trained) == 81 and len(held) == 9

    smaller, larger = (
        Runner.from_cfg(search(data, tmp_path / 'old', share, resume=True)) for share in (0.01, 0.3)
    )
    smaller.load_or_resume()
    with pytest.raises(ValueError, match=r'holdout was 0\.02, is 0\.3: images that it was trained'):
        larger.load_or_resume()


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        (dict(holdout=0.07), 0.07),
        (dict(holdout='auto'), 'auto'),
        (dict(cfg=OLD_CFG), 0.02),  # version 0.1
        (dict(cfg=f"{OLD_CFG}, holdout='auto'"), 'auto'),  # a wrapped dataset: no entry of its own
        (dict(cfg='no search'), 'auto'),
        (dict(holdout=[1]), 'auto'),
        ({}, 'auto'),
    ],
    ids=str,
)
def test_what_a_checkpoint_says(tmp_path, meta, expected):
    torch.save(dict(state_dict={}, meta=meta), tmp_path / 'epoch_1.pth')
    folder = dict(type='cream_mm.ImageFolder', part='holdout', holdout='auto')
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=dict(folder)),
            custom_hooks=[dict(dataset=dict(type='RepeatDataset', dataset=dict(folder)))],
            train_dataloader=dict(dataset=dict(folder, holdout=0.3)),
        )
    )
    keep_holdout(cfg, tmp_path / 'epoch_1.pth')
    assert cfg.test_dataloader.dataset.holdout == expected
    assert cfg.custom_hooks[0].dataset.dataset.holdout == expected
    assert cfg.train_dataloader.dataset.holdout == 0.3  # a number stays


@pytest.mark.parametrize(
    ('meta', 'share', 'ok'),
    [
        (dict(holdout=0.1), 0.1, True),
        (dict(holdout=0.1), 0.05, True),  # a part of the same split
        (dict(holdout=0.1), 0.11, False),
        (dict(holdout=0.1), None, True),  # no images of ours
        (dict(cfg=OLD_CFG), 0.02, True),
        (dict(cfg=OLD_CFG), 0.1, False),  # version 0.1
        (dict(holdout='auto'), 0.5, True),  # nobody knows
        ({}, 0.5, True),
    ],
    ids=str,
)
def test_a_larger_share_is_refused(meta, share, ok):
    if ok:
        check_holdout(meta, share)
        return
    with pytest.raises(ValueError, match='would be rated on'):
        check_holdout(meta, share)


@pytest.mark.parametrize(
    ('options', 'ok'),
    [
        ({}, True),
        (dict(holdout=0.2), True),  # carried to every part
        ({'test_dataloader.dataset.holdout': 0.2}, False),
        ({'train_dataloader.dataset.holdout': 0.2, 'test_dataloader.dataset.holdout': 0.1,
          'test_cfg.bn_dataset.holdout': 0.2, 'custom_hooks.1.dataset.holdout': 0.2}, True),
        ({'train_dataloader.dataset.split_seed': 1}, False),
    ],
    ids=str,
)  # fmt: skip
def test_images_cannot_be_both_trained_on_and_rated_on(data, options, ok):
    options = {'data_root': str(data), **options}
    if ok:
        load_config('configs/cream/search_imagenet.py', options)
        return
    with pytest.raises(ValueError, match='would be trained on and rated on'):
        load_config('configs/cream/search_imagenet.py', options)
