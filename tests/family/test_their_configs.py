"""Configs that mmdet and mmpretrain ship, and such in mmengine's lazy form, train by our tools."""

import math

import pytest
import torch
from made_data import CLASSES, ROOT, run_tool, shrink, their, write_coco
from mmengine.config import Config
from mmengine.hooks import Hook

from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.registry import type_name
from cream_mm.testing import write_image_folder


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp('their') / 'coco')


class Losses(Hook):
    def __init__(self):
        self.found = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.found.append({name: value.item() for name, value in outputs.items()})


def build(cfg, work_dir):
    """A Runner for one short epoch, and the losses that it will meet."""
    cfg.work_dir = str(work_dir)
    cfg.launcher = 'none'
    cfg.default_hooks.checkpoint = None
    cfg.param_scheduler = []
    cfg.model.backbone.init_cfg = None  # which would be downloaded
    runner, losses = Runner.from_cfg(cfg), Losses()
    runner.register_hook(losses)
    return runner, losses


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'atss/atss_r50_fpn_1x_coco.py',
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'faster_rcnn/faster-rcnn_r50_fpn_soft-nms_1x_coco.py',
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        'yolox/yolox_tiny_8xb8-300e_coco.py',
    ],
)
def test_a_detector_of_mmdet(name, coco, tmp_path):
    """It passes the checks of a config, trains for an epoch, is validated, and predicts."""
    import mmdet  # noqa: F401

    options = dict(data_root=f'{coco}/', num_classes=len(CLASSES), max_epochs=1)
    first = load_config(str(their('mmdet', 'configs', name)), check_data=False)
    options = {key: value for key, value in options.items() if key in first}
    for side in ('train', 'val', 'test'):
        options[f'{side}_dataloader.num_workers'] = 0
        options[f'{side}_dataloader.batch_size'] = 2
    cfg = load_config(str(their('mmdet', 'configs', name)), options)
    shrink(cfg._cfg_dict)
    cfg.train_cfg.max_epochs = 1
    for head in heads(cfg.model):
        head['num_classes'] = len(CLASSES)
    for holder in (cfg.model.test_cfg, cfg.model.test_cfg.get('rcnn') or {}):
        if 'score_thr' in holder:
            holder['score_thr'] = 0.0  # an untrained detector is not sure of anything
    runner, losses = build(cfg, tmp_path)
    model = runner.train()
    assert losses.found and all(
        math.isfinite(value) for each in losses.found for value in each.values()
    )
    assert 'val/coco/bbox_mAP' in runner.message_hub.log_scalars
    model.eval()
    found = model.test_step(next(iter(runner.val_dataloader)))[0].pred_instances
    assert len(found) > 0 and found.bboxes.shape[1] == 4
    assert ('mask' in name) == ('masks' in found)


def heads(node):
    """Parts of a model whose outputs are the classes."""
    if isinstance(node, dict):
        if node.get('num_classes') == 80:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from heads(item)


def test_a_classifier_of_mmpretrain(tmp_path):
    """ResNet-18 of mmpretrain on a folder of photographs, by mmpretrain's CustomDataset."""
    data = write_image_folder(tmp_path / 'data', train=4, val=2)
    loader = (
        'dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(_delete_=True, '
    )
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{their('mmpretrain', 'configs/resnet/resnet18_8xb16_cifar10.py')}'\n"
        'model = dict(head=dict(num_classes=2, topk=1))\n'
        f"train_dataloader = {loader} type='CustomDataset', data_root='{data}/train', "
        'pipeline=[dict(type="LoadImageFromFile"), dict(type="Resize", scale=32), '
        'dict(type="PackInputs")]))\n'
        f"val_dataloader = {loader} type='CustomDataset', data_root='{data}/val', "
        'pipeline=[dict(type="LoadImageFromFile"), dict(type="Resize", scale=32), '
        'dict(type="PackInputs")]))\n'
        'test_dataloader = val_dataloader\n'
    )
    run_tool(
        ROOT / 'tools/train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options',
        'train_cfg.max_epochs=1', 'param_scheduler.milestones=[1]',
    )  # fmt: skip
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    run_tool(
        ROOT / 'tools/test.py', tmp_path / 'run/mine.py', tmp_path / 'run/epoch_1.pth', '--tta',
        '--work-dir', tmp_path / 'test',
    )  # fmt: skip


LAZY_BASE = """
from mmdet.evaluation import CocoMetric
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook, IterTimerHook, LoggerHook, ParamSchedulerHook
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop

default_scope = None
val_evaluator = dict(type=CocoMetric, metric='bbox')
test_evaluator = val_evaluator
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1, val_interval=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
default_hooks = dict(
    timer=dict(type=IterTimerHook), logger=dict(type=LoggerHook),
    param_scheduler=dict(type=ParamSchedulerHook), checkpoint=dict(type=CheckpointHook),
)
"""
LAZY = """
from mmengine.config import read_base

with read_base():
    from .lazy_base import *

from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, Resize
from mmdet.models import FPN, DetDataPreprocessor, FocalLoss, RetinaHead, RetinaNet
from mmdet.models.losses import SmoothL1Loss
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder, MaxIoUAssigner
from mmdet.models.task_modules import PseudoSampler
from mmengine.optim import OptimWrapper
from torch.optim import SGD

from cream_mm.datasets.transforms import LoadImage, LoadImageFromFile
from cream_mm.models import CreamNet

model = dict(
    type=RetinaNet,
    data_preprocessor=dict(type=DetDataPreprocessor, pad_size_divisor=32),
    backbone=dict(type=CreamNet, arch='cream-14m', out_indices=(2, 4, 6)),
    neck=dict(type=FPN, in_channels=[40, 96, 320], out_channels=16, num_outs=3),
    bbox_head=dict(
        type=RetinaHead, num_classes=80, in_channels=16, stacked_convs=1, feat_channels=16,
        anchor_generator=dict(type=AnchorGenerator, octave_base_scale=4, scales_per_octave=1,
                              ratios=[1.0], strides=[8, 16, 32]),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder), loss_cls=dict(type=FocalLoss),
        loss_bbox=dict(type=SmoothL1Loss),
    ),
    train_cfg=dict(
        assigner=dict(type=MaxIoUAssigner, pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type=PseudoSampler), allowed_border=-1, pos_weight=-1, debug=False,
    ),
    test_cfg=dict(nms_pre=100, min_bbox_size=0, score_thr=0.0,
                  nms=dict(type='nms', iou_threshold=0.5), max_per_img=10),
)
num_classes = 80
pack = dict(type=PackDetInputs,
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(type=CocoDataset, ann_file='ROOT/annotations/instances_train2017.json',
                 data_prefix=dict(img='ROOT/train2017/'),
                 pipeline=[dict(type=LoadImage), dict(type=LoadAnnotations, with_bbox=True),
                           dict(type=Resize, scale=(64, 64), keep_ratio=True), pack]),
)
val_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(type=CocoDataset, ann_file='ROOT/annotations/instances_val2017.json',
                 data_prefix=dict(img='ROOT/val2017/'), test_mode=True,
                 pipeline=[dict(type=LoadImageFromFile),
                           dict(type=Resize, scale=(64, 64), keep_ratio=True),
                           dict(type=LoadAnnotations, with_bbox=True), pack]),
)
test_dataloader = val_dataloader
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.001))
"""


@pytest.fixture
def lazy(coco, tmp_path):
    """A detector's config in mmengine's lazy form, whose data sets have no ``data_root``."""
    (tmp_path / 'lazy_base.py').write_text(LAZY_BASE)
    (tmp_path / 'lazy_detector.py').write_text(LAZY.replace('ROOT', str(coco)))
    return tmp_path / 'lazy_detector.py'


def test_a_lazy_config_is_checked_and_fitted(lazy):
    cfg = load_config(str(lazy))
    assert cfg.num_classes == cfg.model.bbox_head.num_classes == 2
    for side in ('train', 'val', 'test'):
        assert cfg[f'{side}_dataloader'].dataset.metainfo.classes == CLASSES
    assert cfg.val_evaluator.ann_file.endswith('instances_val2017.json')
    assert cfg.test_evaluator.ann_file == cfg.val_evaluator.ann_file


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('instances_val2017', 'instances_none', 'no annotation file .*instances_none.json'),
        ('/train2017/', '/train2018/', 'no image folder .*train2018'),
        ("arch='cream-14m'", "arck='cream-14m'", "unknown key 'arck' .*did you mean 'arch'"),
    ],
)
def test_slips_in_a_lazy_config(lazy, old, new, words):
    lazy.write_text(lazy.read_text().replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        load_config(str(lazy))


def test_a_lazy_config_trains_resumes_and_is_tested(lazy, tmp_path):
    """By the tools, and again from the copy that the run wrote, in which types are text."""
    train = ROOT / 'tools/train.py'
    run_tool(train, lazy, '--work-dir', tmp_path / 'run')
    copy = tmp_path / 'run/lazy_detector.py'
    written = Config.fromfile(str(copy))
    assert type_name(written.model.type) == 'RetinaNet'
    assert written.model.bbox_head.num_classes == 2
    run_tool(train, lazy, '--work-dir', tmp_path / 'run', '--resume', '--cfg-options',
             'train_cfg.max_epochs=2')  # fmt: skip
    again = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=False)['meta']
    assert again['dataset_meta']['classes'] == CLASSES and again['epoch'] == 2
    for options in ([], ['--tta']):
        run_tool(ROOT / 'tools/test.py', copy, tmp_path / 'run/epoch_2.pth', '--work-dir',
                 tmp_path / 'test', *options)  # fmt: skip
