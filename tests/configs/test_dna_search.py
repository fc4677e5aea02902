"""configs/dna: what is trained at which rate, and by which teacher."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope

from cream_mm.config import load_config
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp('photos'), train=20, val=0, size=(40, 44))


def config(name, folder, **options):
    init_default_scope('mmpretrain')
    return load_config(str(ROOT / f'configs/dna/{name}.py'), {'data_root': str(folder), **options})


def rates(cfg, epochs=20):
    """Learning rate of a parameter of each block in each epoch, from 1 on."""
    cfg.model.teacher = dict(type='cream_mm.FeatureTeacher', backbone=dict(
        type='cream_mm.CreamNet', arch='lite0'))  # fmt: skip
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    schedulers = [PARAM_SCHEDULERS.build(dict(s, optimizer=wrapper)) for s in cfg.param_scheduler]
    named = {id(p): name for name, p in model.named_parameters()}
    found = []
    for _ in range(epochs):
        rate = {
            named[id(p)]: group['lr']
            for group in wrapper.param_groups
            for p in group['params']
            if id(p) in named  # mmengine adds one of its own
        }
        found.append(rate)
        for scheduler in schedulers:
            scheduler.step()
    return found, wrapper, named


def test_each_block_has_its_rate(folder):
    (first, second, *_), wrapper, named = rates(config('search_lite', folder))
    for name, rate in first.items():
        part = name.removeprefix('backbone.').split('.')
        is_end = part[0] != 'blocks' or part[1] in '05'
        assert rate == pytest.approx(0.002 if is_end else 0.005), name
        assert second[name] == pytest.approx(0.9 * rate)
    for group in wrapper.param_groups:
        for p in (p for p in group['params'] if id(p) in named):
            assert group['weight_decay'] == (1e-4 if p.ndim > 1 else 0), named[id(p)]


def test_the_released_rates(folder):
    """Golden (D1): the first epoch is decayed already, 0.0045 ... 0.000608 in block 2."""
    found, _, _ = rates(config('search_imagenet_official', folder))
    name = 'backbone.blocks.1.0.0.0.conv_pw.weight'
    assert [rate[name] for rate in found] == pytest.approx(
        [0.005 * 0.9**epoch for epoch in range(1, 21)]
    )
    assert f'{found[-1][name]:.6f}' == '0.000608'


def test_the_released_choices(folder):
    cfg = config('search_imagenet_official', folder)
    assert cfg.train_cfg.zero_grad == 'zero' and cfg.train_cfg.max_epochs == 20
    assert cfg.model.late_bn_momentum == 1.0 and cfg.model.teacher.mode == 'batch_stats'
    with torch.device('meta'):
        model = MODELS.build(
            dict(cfg.model.backbone, teacher_channels=(48, 80, 160, 224, 384, 640))
        )
    assert [len(cells) for cells in model.space.cells] == [1] * 6
    assert sum(p.numel() for p in model.parameters()) == 33_136_056  # golden, without its head


def test_the_taps_of_b7_are_those_of_its_stages():
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / 'configs/dna/search_imagenet.py')
    teacher = dict(cfg.model.teacher, type='cream_mm.FeatureTeacher')
    teacher['backbone'] = dict(type='mmpretrain.EfficientNet', arch='b7')
    init_default_scope('mmpretrain')
    found = MODELS.build(teacher)
    assert found.channels == (48, 80, 160, 224, 384, 640)
    assert found.strides == (4, 8, 16, 16, 32, 32)
    with pytest.raises(ValueError, match=r'b7.*efficientnet-b7_3rdparty'):
        found.check_loaded()


def test_the_weights_of_the_teacher_have_a_name(folder):
    cfg = config('search_imagenet', folder, teacher_weights='b7.pth')
    assert cfg.model.teacher.backbone.init_cfg.checkpoint == 'b7.pth'
