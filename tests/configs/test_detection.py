"""Every detection config trains and predicts, as shipped but for the size of the images."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from cream_mm.config.load import load_config
from cream_mm.models import CreamNet

CONFIG_DIR = Path(__file__).resolve().parents[2] / 'configs'
CONFIGS = [CONFIG_DIR / 'retinanet_cream.py', *sorted(CONFIG_DIR.glob('detection/*.py'))]
RTMDET = CONFIG_DIR / 'detection/rtmdet_cream-287m_8xb32-300e_coco.py'
CLASSES = ('ball', 'box')

every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """Eight images of 64 to 96 pixels, six to train on; each has a bright box of either class."""
    root = tmp_path_factory.mktemp('coco')
    (root / 'annotations').mkdir()
    rng = np.random.default_rng(0)
    for split, count in (('train2017', 6), ('val2017', 2)):
        (root / split).mkdir()
        content = dict(images=[], annotations=[])
        content['categories'] = [dict(id=2 + 3 * i, name=name) for i, name in enumerate(CLASSES)]
        for i in range(count):
            width, height = 64 + 16 * (i % 3), 80
            pixels = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
            for k, (x, y, w, h) in enumerate([(4, 6, 40, 34), (20, 40, 36, 36)]):
                pixels[y : y + h, x : x + w, k] += 150
                content['annotations'].append(
                    dict(id=2 * i + k + 1, image_id=i, category_id=2 + 3 * k, bbox=[x, y, w, h],
                         area=w * h, iscrowd=0)
                )  # fmt: skip
            Image.fromarray(pixels).save(root / split / f'{i}.jpg')
            content['images'].append(dict(id=i, file_name=f'{i}.jpg', width=width, height=height))
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return root


def load_small(path, coco):
    """The config on the tiny set for one epoch, its image sizes divided by ten."""
    options = dict(data_root=f'{coco}/', batch_size=2, num_workers=0, max_epochs=1)
    cfg = load_config(str(path), options)

    def shrink(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ('scale', 'img_scale', 'crop_size', 'size'):
                    node[key] = tuple(side // 10 for side in value)
                else:
                    shrink(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                shrink(value)

    shrink(cfg._cfg_dict)
    return cfg


class Watch(Hook):
    """Remembers the backbone's parameters before the training, and the losses."""

    def before_train(self, runner):
        params = runner.model.backbone.named_parameters()
        self.before = {name: param.detach().clone() for name, param in params}
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: value.item() for name, value in outputs.items()})


@every_config
def test_trains_and_predicts(path, coco, tmp_path):
    cfg = load_small(path, coco)
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.checkpoint = None
    # Three steps at the full rate: at first, RTMDet's boxes have no area, and a warm-up for two
    # images instead of 256 would hardly move a weight.
    cfg.param_scheduler = []
    cfg.auto_scale_lr.enable = False
    test_cfg = cfg.model.test_cfg.get('rcnn', cfg.model.test_cfg)
    test_cfg.score_thr = 0.0  # an untrained detector is not sure of anything
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    model = runner.train()

    assert len(watch.losses) == 3  # 6 images, 2 at a time
    assert all(len(losses) >= 3 for losses in watch.losses)  # the sum and at least two parts
    assert all(math.isfinite(value) for losses in watch.losses for value in losses.values())
    after = dict(model.backbone.named_parameters())
    still = [name for name, value in watch.before.items() if torch.equal(value, after[name])]
    behind = f'blocks.{model.backbone.out_indices[-1] + 1}.'  # what no map comes from
    assert all(name.startswith(behind) for name in still)
    assert cfg.get('find_unused_parameters', False) == bool(still)
    assert 'val/coco/bbox_mAP' in runner.message_hub.log_scalars  # it was validated, too

    two_stage = hasattr(model, 'roi_head')
    head = model.roi_head.bbox_head if two_stage else model.bbox_head
    assert head.num_classes == len(CLASSES)
    if two_stage:
        assert model.rpn_head.num_classes == 1
    model.eval()
    sample = model.test_step(next(iter(runner.val_dataloader)))[0]
    found = sample.pred_instances
    height, width = sample.ori_shape
    assert len(found) > 0
    assert found.labels.min() >= 0 and found.labels.max() < len(CLASSES)
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    assert found.bboxes.shape[1] == 4
    assert found.bboxes.min() >= 0
    if any(step.type == 'Pad' for step in cfg.val_dataloader.dataset.pipeline):
        # mmdet clips boxes to the padded image, a square, and goes back by the sides' own factors.
        (height, width), (of_width, of_height) = sample.img_shape, sample.scale_factor
        width, height = width / of_width, height / of_height
    assert (found.bboxes <= torch.tensor([width, height, width, height]) + 1e-3).all()


@every_config
def test_top_level_values_reach_every_place(path):
    def load(**options):
        return load_config(str(path), options, check_data=False)

    old = load()
    options = dict(data_root='data/mine/', num_classes=5, batch_size=3, num_workers=1)
    new = load(**options, max_epochs=old.max_epochs // 4)
    for side in ('train', 'val', 'test'):
        loader = new[f'{side}_dataloader']
        assert loader.dataset.data_root == 'data/mine/' and loader.num_workers == 1
    assert new.train_dataloader.batch_size == 3
    assert new.val_dataloader.batch_size == old.val_dataloader.batch_size
    assert new.val_evaluator.ann_file == 'data/mine/annotations/instances_val2017.json'
    assert new.model.get('roi_head', new.model).bbox_head.num_classes == 5
    assert new.train_cfg.max_epochs == old.max_epochs // 4
    assert new.param_scheduler[1].end == old.max_epochs // 4
    assert "'num_classes': 80" not in str(new._cfg_dict)


@every_config
def test_learning_rate_is_for_8_gpus(path):
    """As the head and the name of the file promise; 1x means 12 epochs."""
    cfg = load_config(str(path), check_data=False)
    assert cfg.auto_scale_lr.enable
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.batch_size
    assert cfg.max_epochs == (300 if path.stem.startswith('rtmdet') else 12)


@every_config
def test_maps_fit_neck_and_head(path):
    cfg = load_config(str(path), check_data=False)
    with torch.device('meta'):
        maps = MODELS.build(cfg.model.backbone).eval()(torch.empty(1, 3, 256, 256))
    neck = cfg.model.neck
    assert [m.shape[1] for m in maps] == list(neck.in_channels)
    strides = [256 // m.shape[2] for m in maps][neck.get('start_level', 0) :]
    head = cfg.model.get('rpn_head', cfg.model.get('bbox_head'))
    expected = head.get('strides') or head.anchor_generator.strides
    assert strides == expected[: len(strides)]
    if 'roi_head' in cfg.model:
        extractor = cfg.model.roi_head.bbox_roi_extractor
        assert extractor.featmap_strides == strides


def test_maps_at_detection_size():
    # 800 x 1344 is 800 x 1333 padded to 32; channels @ height x width of blocks.0 to blocks.6
    with torch.device('meta'):
        net = CreamNet('cream-287m', out_indices=range(7)).eval()
        maps = net(torch.empty(1, 3, 800, 1344))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 400, 672), (24, 200, 336), (40, 100, 168), (80, 50, 84), (96, 50, 84), (192, 25, 42),
        (320, 25, 42),
    ]  # fmt: skip


@pytest.mark.parametrize('stage', [1, 2])
def test_rtmdet_pipelines(stage, coco):
    cfg = load_small(RTMDET, coco)
    dataset = cfg.train_dataloader.dataset
    if stage == 2:
        switch = cfg.custom_hooks[1]
        assert switch.type == 'PipelineSwitchHook'
        dataset.pipeline = switch.switch_pipeline
    init_default_scope(cfg.default_scope)
    data = DATASETS.build(dataset)
    crowded = 0
    for i in range(24):  # mosaic begins with the fifth image
        sample = data[i % len(data)]
        assert sample['inputs'].shape == (3, 64, 64)
        instances = sample['data_samples'].gt_instances
        crowded += len(instances) > 2
        assert 0 < len(instances) == len(instances.labels)
        boxes = instances.bboxes.tensor
        assert boxes.min() >= 0 and boxes.max() <= 64
    assert (crowded > 0) == (stage == 1)  # an image has two boxes


@pytest.mark.parametrize('given', [None, 80])
def test_rtmdet_switch_epoch_follows(given):
    options = dict(max_epochs=100) if given is None else dict(max_epochs=100, switch_epoch=given)
    cfg = load_config(str(RTMDET), options, check_data=False)
    expected = 93 if given is None else given  # 280 of 300
    assert cfg.custom_hooks[1].switch_epoch == cfg.switch_epoch == expected
    assert given or cfg.train_cfg.dynamic_intervals == [(expected, 1)]
    cosine = cfg.param_scheduler[1]
    assert (cosine.begin, cosine.end, cosine.T_max) == (50, 100, 50)


def test_roi_align_is_the_configured_one():
    """The layer is built as mmdet builds it, and averages what lies in the box."""
    cfg = load_config(str(CONFIG_DIR / 'detection/faster-rcnn_cream-287m_fpn_1x_coco.py'),
                      check_data=False)  # fmt: skip
    init_default_scope(cfg.default_scope)
    extractor = MODELS.build(cfg.model.roi_head.bbox_roi_extractor)
    column = torch.arange(16.0).expand(1, 256, 16, 16)  # a map whose value is its x
    maps = [column, *(torch.zeros(1, 256, 8 >> i, 8 >> i) for i in range(3))]
    # x from 8 to 36 pixels at stride 4: seven bins of one map pixel, centres 2.5 to 8.5, which
    # are pixel indices 2 to 8 with aligned corners
    out = extractor(maps, torch.tensor([[0.0, 8.0, 8.0, 36.0, 36.0]]))
    assert out.shape == (1, 256, 7, 7)
    assert torch.allclose(out[0, 0, 0], torch.arange(2.0, 9.0), atol=1e-5)
