"""What ``start`` puts into a config."""

import copy
from pathlib import Path

import pytest
import torch

from cream_mm.config.carry import override, read_config
from cream_mm.config.start_network import fit_sizes, fit_start
from cream_mm.models import CreamClsHead, CreamNet
from cream_mm.spaces import MBConvSpace

SEARCH = Path(__file__).parents[2] / 'configs/photos/search.py'
SPACE = MBConvSpace.build(dict(depths=(1, 1, 1, 1, 1), width_mult=0.25, stem_stride=1))
ARCH = [[0], [1], [0], [3], [0], [1], [0]]
CLASSES = ('a', 'b', 'c')


@pytest.fixture
def cfg():
    cfg = read_config(SEARCH)[0]
    override(cfg, dict(num_classes=3))
    cfg.classes = CLASSES
    return cfg


@pytest.fixture
def own(tmp_path):
    """A checkpoint of a retraining at 48 pixels."""

    def write(classes=CLASSES):
        backbone = CreamNet(ARCH, space=SPACE.to_dict()).state_dict()
        head = CreamClsHead(len(classes), SPACE.stage_channels[-1], 64).state_dict()
        state = {f'backbone.{k}': v for k, v in backbone.items()}
        state |= {f'head.{k}': v for k, v in head.items()}
        meta = dict(
            arch=ARCH, space=SPACE.to_dict(), classes=list(classes), input_size=48,
            preprocess=dict(mean=[1.0] * 3, std=[2.0] * 3, to_rgb=False),
        )  # fmt: skip
        torch.save(dict(state_dict=state, meta=meta), tmp_path / 'own.pth')
        return str(tmp_path / 'own.pth')

    return write


def test_a_published_network(cfg):
    cfg.start, lines = 'lite2', []
    fit_start(cfg, {}, lines.append)
    backbone, head = cfg.model.backbone, cfg.model.head
    init = dict(type='Pretrained', checkpoint='lite2')
    assert (backbone.arch, backbone.space, backbone.init_cfg) == ('lite2', None, init)
    assert (head.in_channels, head.hidden_channels, head.act) == (352, 1280, 'relu6')
    assert head.norm_cfg == dict(type='BN', eps=1e-3) and head.init_cfg == init
    assert head.num_classes == 3 and head.loss.type == 'LabelSmoothLoss'
    assert backbone.costs == dict(input_size=128, num_classes=3, head_channels=1280)
    assert cfg.train_cfg.full_share == 0.33 and cfg.max_epochs == 30
    assert lines == []
    before = copy.deepcopy(cfg._cfg_dict)
    fit_start(cfg, {}, pytest.fail)  # the copy that a run leaves, or one that goes on
    assert cfg._cfg_dict == before
    cfg.start = 'lite0'
    fit_start(cfg, dict(start='lite0'), lines.append)
    assert backbone.arch == 'lite0' and head.in_channels == 320


def test_a_network_of_ones_own(cfg, own):
    """Its head has the classes already: the slices are all that is trained."""
    cfg.start, lines = own(), []
    fit_start(cfg, {}, lines.append)
    backbone, head, images = (cfg.model[key] for key in ('backbone', 'head', 'data_preprocessor'))
    assert backbone.arch == ARCH and backbone.space['stem_stride'] == 1
    assert (head.in_channels, head.hidden_channels) == (SPACE.stage_channels[-1], 64)
    assert head.norm_cfg is None and head.act == 'silu'
    assert backbone.init_cfg == head.init_cfg == dict(type='Pretrained', checkpoint=cfg.start)
    assert (images['mean'], images['std'], images['to_rgb']) == ([1.0] * 3, [2.0] * 3, False)
    assert cfg.input_size == 48 and cfg.test_pipeline[2].crop_size == 48
    assert cfg.input_sizes == [48, 40, 36] == backbone.input_sizes  # 42 in steps of 4
    schedule = cfg.param_scheduler[0]
    assert cfg.max_epochs == schedule.T_max == cfg.train_cfg.max_epochs == 20
    assert cfg.full_share == schedule.full_share == cfg.train_cfg.full_share == 0
    line = next(line for line in lines if 'knows these 3 classes: the whole network is not' in line)
    assert 'knows images that are held out here' in line


@pytest.mark.parametrize(
    ('classes', 'options', 'word'),
    [
        (('a', 'b', 'd'), {}, 'is of other classes'),
        (('b', 'a', 'c'), {}, 'in another order'),
        (CLASSES, dict(full_share=0.33), None),
    ],
)
def test_the_whole_network_is_trained_again(cfg, own, classes, options, word):
    cfg.start, lines = own(classes), []
    fit_start(cfg, options, lines.append)
    assert (cfg.full_share, cfg.max_epochs) == (0.33, 30)
    assert (word is None) == ('fine-tuned first' not in lines[-1]) and (word or '') in lines[-1]


def test_epochs_that_were_given_stay(cfg, own):
    cfg.start = own()
    override(cfg, dict(max_epochs=4))
    fit_start(cfg, dict(max_epochs=4), print)
    assert (cfg.full_share, cfg.max_epochs, cfg.param_scheduler[0].T_max) == (0, 4, 4)


@pytest.mark.parametrize(
    ('options', 'own', 'size', 'sizes'),
    [
        ({}, None, 128, [128, 112, 96]),
        (dict(input_size=160), None, 160, [160, 140, 120]),
        (dict(input_size=40), None, 40, [40, 36, 32]),
        (dict(input_sizes=[96, 160, 160]), None, 160, [160, 96]),
        (dict(input_sizes=[100]), None, 100, [100]),
        (dict(input_sizes=96), None, 96, [96]),
        (dict(input_size=96, input_sizes=[]), 64, 96, []),
        ({}, 224, 224, [224, 196, 168]),
        (dict(input_size=96), 224, 96, [96, 84, 72]),
    ],
)
def test_sizes(cfg, options, own, size, sizes):
    override(cfg, options)
    fit_sizes(cfg, options, own, lambda line: None)
    backbone = cfg.model.backbone
    assert cfg.input_size == backbone.costs.input_size == cfg.test_pipeline[2].crop_size == size
    assert cfg.input_sizes == sizes
    assert backbone.input_sizes == (sizes if len(sizes) > 1 else [])


def test_sizes_that_are_none(cfg):
    both = dict(input_size=128, input_sizes=[160, 128])
    override(cfg, both)
    with pytest.raises(ValueError, match='input_size=128 is to be the largest of input_sizes'):
        fit_sizes(cfg, both, None, print)
    override(cfg, small := dict(input_sizes=[128, 16]))
    with pytest.raises(ValueError, match='input_size 16: a network like this needs 32 pixels'):
        fit_sizes(cfg, small, None, print)


def test_what_cannot_take_a_start(cfg):
    cfg.model.backbone.type = 'cream_mm.CreamSupernet'
    with pytest.raises(ValueError, match='model.backbone is a CreamSupernet; a start can be put'):
        fit_start(cfg, {}, print)
    cfg.pop('start')
    fit_start(cfg, {}, pytest.fail)
