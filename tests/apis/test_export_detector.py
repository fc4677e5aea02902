"""A searched backbone in detectors of mmdet's own configs: channels by value, a step of each."""

import json
from pathlib import Path

import pytest
import torch
from mmcv.ops import roi_align
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope

import cream_mm
from cream_mm.apis.export_arch import export_arch
from cream_mm.config.load import load_config
from cream_mm.models import CreamClsHead, CreamSupernet
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.structures import Arch

ROOT = str(Path(__file__).parents[2])
ANSWER = dict(
    format='cream_mm.arch/1', arch=[[0], [4], [3], [5], [3], [5], [0]], num_classes=3,
    head_channels=64, input_size=[32, 32],
    space=dict(depths=[1] * 5, act='relu', head_channels=64),
    preprocess=dict(mean=[10.0, 20.0, 30.0], std=[50.0, 60.0, 70.0], to_rgb=True),
    norm_cfg=dict(type='BN', eps=0.25, momentum=0.03),
)  # fmt: skip
FOUR, THREE = [24, 40, 96, 320], [40, 96, 320]
MEAN, STD = [10.0, 20.0, 30.0], [50.0, 60.0, 70.0]
# Config of mmdet's: our blocks, and what else has to hold, by its place below the detector.
QUICK = {
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': (
        (1, 2, 4, 6), {'neck.in_channels': FOUR},
    ),
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': (
        (2, 4, 6), {'neck.in_channels': THREE, 'bbox_head.in_channels': 96},
    ),
    'yolox/yolox_tiny_8xb8-300e_coco.py': ((2, 4, 6), {'neck.in_channels': THREE}),
    'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py': (
        (4, 6), {
            'neck.in_channels': (96, 320), 'neck.out_channels': (96, 320, 512, 256, 256, 128),
            'bbox_head.in_channels': (96, 320, 512, 256, 256, 128),
        },
    ),
}  # fmt: skip
SLOW = {
    'retinanet/retinanet_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'atss/atss_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'gfl/gfl_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py': ((2, 4, 6), {'neck.in_channels': THREE}),
    'ssd/ssd300_coco.py': (
        (2, 4), {
            'neck.in_channels': (40, 96), 'neck.out_channels': (40, 96, 512, 256, 256, 256),
            'bbox_head.in_channels': (40, 96, 512, 256, 256, 256),
        },
    ),
    'yolo/yolov3_d53_8xb8-320-273e_coco.py': (
        (2, 4, 6), {'neck.in_channels': [320, 96, 40], 'bbox_head.in_channels': [512, 256, 128]},
    ),
    'yolof/yolof_r50-c5_8xb8-1x_coco.py': ((6,), {'neck.in_channels': 320}),
    'centernet/centernet_r18_8xb16-crop512-140e_coco.py': ((1, 2, 4, 6), {'neck.in_channels': 320}),
    'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco.py': (
        (1, 2, 4, 6), {'neck.in_channels': FOUR},
    ),
    'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py': (
        (4,), {
            'neck.in_channels': [96], 'neck.out_channels': 1024, 'rpn_head.in_channels': 1024,
        },
    ),
    'faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py': (
        (4,), {
            'rpn_head.in_channels': 96, 'roi_head.bbox_roi_extractor.out_channels': 96,
            'roi_head.bbox_head.in_channels': 96,
        },
    ),
    'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'pafpn/faster-rcnn_r50_pafpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py': (
        (1, 2, 4, 6), {'neck.0.in_channels': FOUR, 'neck.1.in_channels': 256},
    ),
    'hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
    'detr/detr_r50_8xb2-150e_coco.py': ((6,), {'neck.in_channels': [320]}),
    'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py': (
        (2, 4, 6), {'neck.in_channels': THREE},
    ),
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py': (
        (1, 2, 4, 6), {'panoptic_head.in_channels': FOUR},
    ),
    'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py': ((1, 2, 4, 6), {'neck.in_channels': FOUR}),
}  # fmt: skip
KINDS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(scope='module')
def answer(tmp_path_factory):
    """A search's answer and its supernet."""
    home = tmp_path_factory.mktemp('search')
    torch.manual_seed(0)
    supernet = torch.nn.ModuleDict(
        dict(
            backbone=CreamSupernet(ANSWER['space'], norm_cfg=ANSWER['norm_cfg']),
            head=CreamClsHead(3, 320, 64),
        )
    ).eval()
    init_cream_weights(supernet)
    torch.save(dict(state_dict=supernet.state_dict()), home / 'epoch_1.pth')
    (home / 'best_arch.json').write_text(json.dumps(ANSWER))
    supernet['backbone'].set_arch(Arch.from_list(ANSWER['arch']))
    return home / 'best_arch.json', supernet['backbone']


def export(answer, out, detector):
    """Files of the export, its detector's config, and what was said."""
    said = []
    files = export_arch(
        str(answer[0]), None, str(out), root=ROOT, detector=str(detector), say=said.append
    )
    return files, Config.fromfile(str(files['detector'])), said


def built(cfg, part='model'):
    """The model, with what is not there taken out: mmcv's RoIAlign, weights to be fetched."""
    cfg = Config(cfg.model.to_dict())
    _without_operators(cfg._cfg_dict)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg._cfg_dict)
    model.backbone.init_weights()
    return model


def _without_operators(node):
    if isinstance(node, (list, tuple)):
        for item in node:
            _without_operators(item)
    elif isinstance(node, dict):
        if node.get('type') == 'RoIAlign':
            node['use_torchvision'] = True
        if 'type' in node and not str(node['type']).startswith('cream_mm'):
            node.pop('init_cfg', None)
        node.pop('batch_augments', None)  # those would bring the images to 640 pixels
        for key in {'num', 'max_per_img', 'nms_pre'} & set(node):
            node[key] = min(node[key], 32)  # regions: seconds, not minutes
        for value in list(node.values()):
            _without_operators(value)


@pytest.mark.parametrize('name', KINDS)
def test_a_detector_of_mmdet(answer, tmp_path, name):
    """Strides and channels by value; the search's features; a step, and a prediction."""
    blocks, expected = {**QUICK, **SLOW}[name]
    files, cfg, _ = export(answer, tmp_path / 'out', f'mmdet::{name}')
    assert files['detector'].name == Path(name).name
    assert cfg.model.backbone.out_indices == blocks
    for place, value in expected.items():
        node = cfg.model
        for key in place.split('.'):
            node = node[int(key) if key.isdigit() else key]
        assert node == value, place
    prep = cfg.model.data_preprocessor
    assert [prep.mean, prep.std, prep.bgr_to_rgb] == [MEAN, STD, True]
    assert prep.pad_size_divisor % 32 == 0 or name == 'ssd/ssd300_coco.py'
    assert load_config(str(files['detector']), check_data=False).model == cfg.model

    torch.manual_seed(0)
    model = built(cfg)
    images = torch.rand(1, 3, 128, 128)
    supernet = answer[1]
    supernet.out_indices = blocks
    with torch.no_grad():
        maps, found = supernet(images), model.eval().backbone(images)
    assert len(maps) == len(found) == len(blocks)
    assert all(torch.equal(a, b) for a, b in zip(maps, found))
    strides = {1: 4, 2: 8, 4: 16, 6: 32}
    assert [128 // x.size(3) for x in found] == [strides[i] for i in blocks]
    side = 320 if name == 'ssd/ssd300_coco.py' else 128
    take_a_step(model, masks='mask' in name or 'ins' in name, side=side)


def take_a_step(model, masks, side=128, num_classes=80):
    from mmdet.testing import demo_mm_inputs

    if masks and hasattr(model, 'roi_head'):
        try:  # the targets of a mask head are cut out by the compiled operator
            roi_align(torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 2)
        except NotImplementedError:
            pytest.skip('mmcv has no roi_align here')

    MessageHub.get_instance('detector').update_info('iter', 0)
    packed = demo_mm_inputs(
        2, [[3, side, side]] * 2, num_items=[2, 3], num_classes=num_classes, with_mask=masks
    )
    model.train()
    total, _ = model.parse_losses(model(**model.data_preprocessor(packed, True), mode='loss'))
    assert torch.isfinite(total) and total > 0
    total.backward()
    stem = model.backbone.conv_stem.weight.grad
    assert stem is not None and stem.abs().sum() > 0
    # mmdet's prediction asks SSDHead for loss_cls, which it has not, with any backbone; and takes a
    # view of CenterNet's maps, which is none in the layout that is the fastest on a CPU.
    if type(getattr(model, 'bbox_head', None)).__name__ in ('SSDHead', 'CenterNetHead'):
        return
    model.eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(packed, False), mode='predict')
    assert len(results) == 2 and all('scores' in r.pred_instances for r in results)


# ---- what is said, and what is refused -----------------------------------------------------------


def user_config(tmp_path, text, name='mine.py'):
    (tmp_path / name).write_text(text)
    return tmp_path / name


RETINANET = "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
CLASSES = "dict(classes=('cat', 'dog'), palette=[(1, 2, 3), (4, 5, 6)])"


def test_a_config_of_the_users_own(answer, tmp_path):
    """Their variables, data, schedule and modules stay; what belonged to their backbone goes."""
    path = user_config(
        tmp_path,
        f"""{RETINANET}
custom_imports = dict(imports=['json', 'cream_mm', 'csv'], allow_failed_imports=False)
data_root = 'data/pets/'
metainfo = {CLASSES}
work_dir = './work_dirs/mine'
load_from = 'https://nowhere/retinanet_r50.pth'
model = dict(
    data_preprocessor=dict(pad_size_divisor=48, batch_augments=[dict(
        type='BatchSyncRandomResize', random_size_range=(480, 800), size_divisor=32)]),
    backbone=dict(with_cp=True), bbox_head=dict(num_classes=2))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 4)),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='Pad', size=(128, 128), pad_val=dict(img=(103.53, 116.28, 123.675), seg=255)),
    dict(type='CutOut', n_holes=3, cutout_shape=(8, 8), fill_in=(104, 116, 124)),
    dict(type='ShearX', img_border_value=(1.0, 2.0, 3.0)),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(
    data_root=data_root, metainfo=metainfo, ann_file='train.json', pipeline=train_pipeline))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={{
    'backbone': dict(lr_mult=0.1), 'layer4': dict(lr_mult=0.5), 'retina': dict(lr_mult=2)}}))
""",
    )
    files, cfg, said = export(answer, tmp_path / 'out', path)
    text = files['detector'].read_text()
    assert '\n_base_' not in text and str(tmp_path) not in text
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        'arch.json', 'mine.py', 'retrain.py', 'weights.pth',
    ]  # fmt: skip
    assert cfg.custom_imports == dict(
        imports=['cream_mm', 'json', 'csv'], allow_failed_imports=False
    )
    for key in ('work_dir', 'load_from', 'launcher'):
        assert key not in cfg
    assert cfg.sync_bn == 'torch' and cfg.model.bbox_head.num_classes == 2
    backbone = cfg.model.backbone
    assert set(backbone) == {
        'type', 'arch', 'space', 'norm_cfg', 'out_indices', 'with_cp', 'init_cfg',
    }  # fmt: skip
    assert backbone.with_cp and backbone.norm_cfg == ANSWER['norm_cfg']
    prep = cfg.model.data_preprocessor
    assert prep.pad_size_divisor == 96 and len(prep.batch_augments) == 1
    steps = cfg.train_dataloader.dataset.pipeline
    assert steps[2].mean == [10.0, 20.0, 30.0] and steps[2].to_rgb
    assert steps[4].pad_val == dict(img=(30.0, 20.0, 10.0), seg=255)
    assert steps[5].fill_in == (30, 20, 10) and steps[6].img_border_value == (1.0, 2.0, 3.0)
    assert cfg.optim_wrapper.optimizer.lr == 0.01 and cfg.train_cfg.max_epochs == 12
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.retina.lr_mult == 2
    assert 'load_from=https://nowhere/retinanet_r50.pth left out' in ' '.join(said)
    assert 'frozen_stages=1, norm_eval=True' in said[0] and 'by layer4, of ResNet' in said[-1]
    assert all(f'# {line}\n' in text for line in said)
    # Their names can still be edited.
    edited = text.replace("data_root = 'data/pets/'", "data_root = 'x/'").replace("'cat'", "'cow'")
    cfg = Config.fromfile(str(user_config(tmp_path, edited, 'edited.py')))
    assert cfg.train_dataloader.dataset.data_root == 'x/'
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cow', 'dog')


REFUSED = {
    'no model': ("x = 1\n", r'mine.py has no model'),
    'no backbone': ("model = dict(type='DETR', neck=None)\n", r'model \(DETR\) has no backbone'),
    'elsewhere': (
        "model = dict(type='DETR', student=dict(backbone=dict(type='ResNet', depth=18)))\n",
        r'its backbone is model.student.backbone; only model.backbone',
    ),
    'a search': (
        f"_base_ = '{ROOT}/configs/spos/search_retinanet_coco.py'\n",
        r'model.backbone is a supernet: this is the config of a search',
    ),
    'a classifier': (
        f"_base_ = '{ROOT}/configs/cream/retrain_imagenet.py'\n", r'model \(.*\) is a classifier',
    ),
    'text that is no Python': ('model = dict(\n', r'cannot be read as a config: SyntaxError'),
    'a base that is not there': ("_base_ = './gone.py'\n", r'cannot be read .*FileNotFoundError'),
    'a module that is not there': (
        RETINANET + "custom_imports = dict(imports=['nowhere_x'], allow_failed_imports=False)\n",
        r'imports what is not there: .*nowhere_x.* Set PYTHONPATH',
    ),
    'an unknown detector': (
        RETINANET + "model = dict(type='MyNet')\n", r"model.type='MyNet' is not registered"
    ),
    'an unknown backbone': (
        RETINANET + "model = dict(backbone=dict(_delete_=True, type='MyNet'))\n",
        r"model.backbone.type='MyNet' is not registered",
    ),
    'a backbone that does not build': (
        RETINANET + 'model = dict(backbone=dict(depth=51))\n',
        r'model.backbone \(ResNet\) cannot be run here .*KeyError: .*51',
    ),
    'a stride that ours has not': (
        RETINANET + 'model = dict(backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)))\n',
        r'\(ResNet\) hands out 3 maps of stride 8 \(all: \(4, 8, 8, 8\)\); ours has 1',
    ),
    'a neck of other channels': (
        RETINANET + 'model = dict(neck=dict(in_channels=[1, 2, 3, 4]))\n',
        r'neck \(FPN\): in_channels=\[1, 2, 3, 4\], but .* \(256, 512, 1024, 2048\)',
    ),
    'maps of one stride, twice': (
        "_base_ = 'mmdet::cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py'\n"
        'model = dict(backbone=dict(stage_channels=[8] * 6, stage_blocks=[1] * 6))\n',
        r'hands out 2 maps of stride 4 \(all: \(4, 4\)\); ours has 1',
    ),
    'the image itself': (
        "_base_ = 'mmdet::detectors/cascade-rcnn_r50-rfp_1x_coco.py'\n",
        r'1 map of stride 1 \(all: \(1, 4, 8, 16, 32\)\); ours has none',
    ),
    'a backbone for one detector': (
        "_base_ = 'mmdet::tridentnet/tridentnet_r50-caffe_1x_coco.py'\n",
        r'model.type \(TridentFasterRCNN\) takes no backbone without num_branch, test_branch_idx',
    ),
    'a head that the backbone breaks': (
        RETINANET + 'model = dict(neck=None)\n', r'model has no neck, and no in_channels of a head'
    ),
}  # fmt: skip


@pytest.mark.parametrize('case', REFUSED)
def test_one_line_where_it_does_not_fit(answer, tmp_path, case):
    text, message = REFUSED[case]
    path = user_config(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        export(answer, tmp_path / 'out', path)
    assert 'mine.py' in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()  # nothing is half written


def test_files_that_are_none(answer, tmp_path):
    with pytest.raises(FileNotFoundError, match='no detector config .*gone.py'):
        export(answer, tmp_path / 'out', tmp_path / 'gone.py')
    with pytest.raises(FileNotFoundError, match='no detector config .*retinanet/gone.py'):
        export(answer, tmp_path / 'out', 'mmdet::retinanet/gone.py')
    with pytest.raises(FileNotFoundError, match='nowhere:: is no installed package'):
        export(answer, tmp_path / 'out', 'nowhere::retinanet/gone.py')
    with pytest.raises(ValueError, match='a detector config is a .py file; got .*mine.json'):
        export(answer, tmp_path / 'out', user_config(tmp_path, '{}', 'mine.json'))
    with pytest.raises(ValueError, match='retrain.py of its own'):
        export(answer, tmp_path / 'out', user_config(tmp_path, RETINANET, 'retrain.py'))
    path = user_config(tmp_path, RETINANET)
    with pytest.raises(ValueError, match='mine.py would be overwritten .* another --out'):
        export(answer, tmp_path, path)
    assert path.read_text() == RETINANET


def test_a_detector_inside_another_model(answer, tmp_path):
    """Semi-supervised: the detector is inside, and so are the means of its images."""
    path = user_config(tmp_path, '''
_base_ = 'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'
model = dict(detector=dict(init_cfg=dict(type='Pretrained', checkpoint='coco.pth')))
''')  # fmt: skip
    files, cfg, said = export(answer, tmp_path / 'out', path)
    detector = cfg.model.detector
    assert detector.backbone.out_indices == (1, 2, 4, 6) and detector.neck.in_channels == FOUR
    for prep in (cfg.model.data_preprocessor.data_preprocessor, detector.data_preprocessor):
        assert [prep.mean, prep.std, prep.bgr_to_rgb] == [MEAN, STD, True]
    assert 'mean' not in cfg.model.data_preprocessor
    assert 'init_cfg' not in detector and 'coco.pth left out' in ' '.join(said)
    assert 'model.detector.backbone.init_cfg.checkpoint' in files['detector'].read_text()


def test_the_exported_config_can_be_exported_again(answer, tmp_path):
    """A config around a CreamNet: its own settings stay, its space does not."""
    fcos = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
    files, _, _ = export(answer, tmp_path / 'one', fcos)
    text = files['detector'].read_text().replace(
        "type='cream_mm.CreamNet',", "type='cream_mm.CreamNet', frozen_stages=2,"
    )  # fmt: skip
    path = user_config(tmp_path, text, 'again.py')
    said = []
    files = export_arch(
        'cream-14m', None, str(tmp_path / 'two'), root=ROOT, detector=str(path), say=said.append
    )
    cfg = Config.fromfile(str(files['detector']))
    net = cream_mm.models.CreamNet('cream-14m', out_indices=(1, 2, 4, 6))
    assert cfg.model.backbone.arch == net.arch.to_list()
    assert tuple(cfg.model.backbone.space.depths) == net.space.depths
    assert cfg.model.backbone.space.act == 'silu' and cfg.model.backbone.frozen_stages == 2
    assert 'init_cfg' not in cfg.model.backbone and said == []
    assert cfg.model.neck.in_channels == FOUR


def test_two_maps_of_one_stride(answer, tmp_path):
    """A dilated last stage has the stride of the one before; ours has two blocks of it, too."""
    path = user_config(
        tmp_path,
        f'{RETINANET}model = dict(backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)))\n',
    )
    _, cfg, _ = export(answer, tmp_path / 'out', path)
    assert cfg.model.backbone.out_indices == (1, 2, 3, 4)
    assert cfg.model.neck.in_channels == [24, 40, 80, 96]
    assert cfg.find_unused_parameters  # of blocks.5 and blocks.6


def test_layers_that_an_optimizer_does_not_know(answer, tmp_path):
    """Rates that decay by ConvNeXt's layers; a backbone of another package."""
    convnext = 'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py'
    _, cfg, said = export(answer, tmp_path / 'out', convnext)
    assert cfg.model.backbone.out_indices == (1, 2, 4, 6)
    assert cfg.custom_imports.imports == ['cream_mm', 'mmpretrain.models']
    wrapper = cfg.optim_wrapper
    assert 'constructor' not in wrapper and 'paramwise_cfg' not in wrapper
    assert wrapper.type == 'AmpOptimWrapper' and wrapper.optimizer.lr == 0.0001
    assert 'constructor=LearningRateDecayOptimizerConstructor' in ' '.join(said)


def test_images_normalised_in_the_pipeline(answer, tmp_path):
    path = user_config(
        tmp_path,
        f"""{RETINANET}
model = dict(data_preprocessor=dict(_delete_=True, type='DetDataPreprocessor', pad_size_divisor=32))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Normalize', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False),
    dict(type='PackDetInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""",
    )
    _, cfg, _ = export(answer, tmp_path / 'out', path)
    step = cfg.test_dataloader.dataset.pipeline[1]
    assert [step.mean, step.std, step.to_rgb] == [MEAN, STD, True]
    assert 'mean' not in cfg.model.data_preprocessor


LAZY = """
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, Resize
from mmcv.transforms import LoadImageFromFile
from mmdet.models import DetDataPreprocessor, FCOS, FCOSHead, FPN, ResNet
from torch.optim import SGD

default_scope = None
train_pipeline = [
    dict(type=LoadImageFromFile), dict(type=LoadAnnotations, with_bbox=True),
    dict(type=Resize, scale=(96, 96), keep_ratio=True), dict(type=PackDetInputs)]
model = dict(
    type=FCOS,
    data_preprocessor=dict(type=DetDataPreprocessor),
    backbone=dict(type=ResNet, depth=18, out_indices=(1, 2, 3)),
    neck=dict(type=FPN, in_channels=[128, 256, 512], out_channels=32, num_outs=3),
    bbox_head=dict(type=FCOSHead, num_classes=2, in_channels=32, feat_channels=32,
                   strides=[8, 16, 32], regress_ranges=((-1, 64), (64, 128), (128, 1e8))),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5),
                  max_per_img=5))
train_dataloader = dict(
    batch_size=2, sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(type=CocoDataset, ann_file='a.json', pipeline=train_pipeline))
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=2)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
"""


def test_a_config_in_the_lazy_form(answer, tmp_path):
    """Classes become the names that a text holds, and that other tools look for."""
    files, cfg, _ = export(answer, tmp_path / 'out', user_config(tmp_path, LAZY))
    assert 'import' not in files['detector'].read_text().replace('custom_import', '').replace(
        'imports=', '').replace('__import__', '')  # fmt: skip
    assert cfg.default_scope == 'mmdet' and cfg.model.type == 'FCOS'
    assert cfg.model.backbone.out_indices == (2, 4, 6) and cfg.model.neck.in_channels == THREE
    assert cfg.train_dataloader.dataset.type == 'CocoDataset'
    kinds = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert kinds == ['LoadImageFromFile', 'LoadAnnotations', 'Resize', 'PackDetInputs']
    assert cfg.optim_wrapper.optimizer.type == 'SGD' and cfg.train_cfg.type == 'EpochBasedTrainLoop'
    assert cfg.model.data_preprocessor.pad_size_divisor == 32
    take_a_step(built(cfg), masks=False, num_classes=2)
