"""A searched cell as a folder: its weights, its retraining, and a detector around it."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope
from test_export_detector import built

from cream_mm import create_model
from cream_mm.apis.export_arch import export_arch, export_front
from cream_mm.config.load import load_config
from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content, read_arch_file
from cream_mm.files.front_file import FRONT_FORMAT
from cream_mm.models import CreamClsHead, NASBench201Supernet
from cream_mm.spaces import NASBench201Space

ROOT = str(Path(__file__).parents[2])
SPACE = NASBench201Space(channels=8, num_cells=1)
CELL = '|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|'
OTHER = '|skip_connect~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|'
MEAN, STD = [10.0, 20.0, 30.0], [50.0, 60.0, 70.0]
ANSWER = dict(
    preprocess=dict(mean=MEAN, std=STD, to_rgb=True),
    norm_cfg=dict(type='BN', eps=0.25, momentum=0.03),
    classes=['ant', 'bee', 'cow'], data_root='images', batch_size=16, router='cream_mm.GATESRouter',
    next_steps=dict(
        retrain='configs/nas_bench_201/retrain_cifar.py',
        detector='configs/detection/retinanet_nb201_fpn_1x_coco.py',
    ),
)  # fmt: skip


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """What a search with a gate leaves: an answer, another path of the front, a supernet."""
    home = tmp_path_factory.mktemp('search')
    torch.manual_seed(0)
    supernet = torch.nn.ModuleDict(
        dict(
            backbone=NASBench201Supernet(
                SPACE,
                norm_cfg=ANSWER['norm_cfg'],
                router=dict(type='cream_mm.GATESRouter', num_banks=3, active=3),
            ),
            head=CreamClsHead(3, in_channels=32, hidden_channels=None),
        )
    ).eval()
    torch.save(dict(state_dict=supernet.state_dict()), home / 'epoch_1.pth')
    costs = build_cost_model(SPACE, 16, 3)
    answer = arch_content(SPACE.parse(CELL), costs, **ANSWER)
    (home / 'best_arch.json').write_text(json.dumps(answer))
    steps = [
        dict(arch=SPACE.parse(text).to_list(), rating={},
             costs=costs.cost(SPACE.parse(text)).in_units())
        for text in (OTHER, CELL)
    ]  # fmt: skip
    front = dict(format=FRONT_FORMAT, cost='macs_m', steps=steps)
    (home / 'front.json').write_text(json.dumps(front))
    return home, supernet


@pytest.fixture(scope='module')
def exported(home, tmp_path_factory):
    out, said = tmp_path_factory.mktemp('export'), []
    path = str(home[0] / 'best_arch.json')
    return export_arch(path, None, str(out), root=ROOT, say=said.append), said


def logits(model, arch, images):
    with model['backbone'].using(arch), torch.no_grad():
        return model['head'](model['backbone'](images))


def test_the_network_is_the_path(home, exported):
    files, said = exported
    assert sorted(files) == ['arch', 'detector', 'retrain', 'weights'] and said == []
    about = read_arch_file(files['arch'])
    assert about['router'] == 'cream_mm.GATESRouter' and about['space'] == SPACE.to_dict()
    net = create_model(str(files['arch']), checkpoint=str(files['weights']))
    images = torch.randn(2, 3, 16, 16)
    expected = logits(home[1], SPACE.parse(CELL), images)
    torch.testing.assert_close(net(images, mode='tensor'), expected, rtol=0, atol=1e-6)
    assert net._dataset_meta == dict(classes=('ant', 'bee', 'cow'))
    pipeline = net._config.test_dataloader.dataset.pipeline
    assert [step.get('scale', step.get('crop_size')) for step in pipeline[1:3]] == [16, 16]


def test_every_answer_of_a_front(home, tmp_path):
    files = export_front(str(home[0]), None, str(tmp_path), root=ROOT)
    images = torch.randn(2, 3, 16, 16)
    for text, one in zip((OTHER, CELL), files.values()):
        net = create_model(str(one['arch']), checkpoint=str(one['weights']))
        expected = logits(home[1], SPACE.parse(text), images)
        torch.testing.assert_close(net(images, mode='tensor'), expected, rtol=0, atol=1e-6)
        assert text in one['retrain'].read_text().splitlines()[0]


def test_the_retraining(exported):
    cfg = Config.fromfile(str(exported[0]['retrain']))
    backbone = dict(type='cream_mm.NASBench201Net', arch=CELL, space=SPACE.to_dict(),
                    norm_cfg=ANSWER['norm_cfg'])  # fmt: skip
    assert cfg.model.backbone == backbone
    head = cfg.model.head
    assert (head.in_channels, head.hidden_channels, head.num_classes) == (32, 0, 3)
    assert (cfg.data_root, cfg.batch_size, cfg.input_size) == ('images', 16, 16)
    assert cfg.train_pipeline[1].scale == cfg.train_pipeline[3].crop_size == 16
    assert list(cfg.model.data_preprocessor.mean) == MEAN
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    assert cfg.optim_wrapper.optimizer == optimizer and cfg.max_epochs == 200
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 3)


def step(cfg):
    """The model after a training step and a prediction, and its parameters without a gradient."""
    torch.manual_seed(0)
    model = built(cfg)
    packed = demo_mm_inputs(2, [[3, 128, 128]] * 2, num_items=[2, 3], num_classes=80)
    MessageHub.get_instance('cells').update_info('iter', 0)
    data = model.train().data_preprocessor(packed, True)
    total, _ = model.parse_losses(model(**data, mode='loss'))
    assert torch.isfinite(total) and total > 0
    total.backward()
    idle = [name for name, p in model.backbone.named_parameters() if p.grad is None]
    if type(model.bbox_head).__name__ == 'SSDHead':
        return model, idle  # mmdet's asks itself for a loss_cls that it has not
    with torch.no_grad():
        results = model.eval()(**model.data_preprocessor(packed, False), mode='predict')
    assert len(results) == 2 and all('scores' in r.pred_instances for r in results)
    return model, idle


def test_the_detector(home, exported):
    cfg = load_config(str(exported[0]['detector']), check_data=False)
    assert cfg.model.backbone.space == dict(SPACE.to_dict(), stem_stride=4)
    assert cfg.model.backbone.out_indices == (0, 1, 2) and cfg.model.backbone.arch == CELL
    assert cfg.model.neck.in_channels == [8, 16, 32]
    assert list(cfg.model.data_preprocessor.mean) == MEAN
    model, idle = step(cfg)
    assert idle == []
    with torch.no_grad():
        maps = model.backbone(torch.zeros(1, 3, 128, 128))
    assert [128 // x.shape[2] for x in maps] == [4, 8, 16]
    weights = torch.load(exported[0]['weights'])['state_dict']
    for key, value in model.backbone.state_dict().items():  # statistics have moved
        if 'running' not in key and 'num_batches' not in key:
            assert torch.equal(weights[f'backbone.{key}'], value)


def test_costs_count_the_stem():
    arch = SPACE.parse(CELL)
    plain, four = (
        build_cost_model(NASBench201Space(channels=8, num_cells=1, stem_stride=stride), 64,
                         head=None).cost(arch)
        for stride in (1, 4)
    )  # fmt: skip
    stem = 27 * 8 * 64 * 64
    # The stem's convolution has stride 2 and a pool behind it: a quarter; all else a sixteenth.
    assert four.macs == stem // 4 + (plain.macs - stem) // 16 and four.params == plain.params


@pytest.mark.parametrize(
    ('name', 'stride', 'indices', 'channels', 'note'),
    [
        ('retinanet/retinanet_r50_fpn_1x_coco.py', 8, (0, 1, 2), [8, 16, 32], 'start_level=0'),
        ('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 8, (0, 1, 2), [8, 16, 32], 'stem_stride=8'),
        pytest.param('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 8, (0, 1, 2), [8, 16, 32],
                     'start_level=0', marks=pytest.mark.slow),
        pytest.param('hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py', 4, (0, 1, 2), [8, 16, 32],
                     'takes 3 of 4 maps', marks=pytest.mark.slow),
        pytest.param('yolof/yolof_r50-c5_8xb8-1x_coco.py', 8, (2,), 32, 'stride 32',
                     marks=pytest.mark.slow),
        pytest.param('ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', 8, (1, 2), (16, 32),
                     'stem_stride=8', marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_detector_of_mmdet(home, tmp_path, name, stride, indices, channels, note):
    said = []
    path = str(home[0] / 'best_arch.json')
    files = export_arch(
        path, None, str(tmp_path), root=ROOT, detector=f'mmdet::{name}', say=said.append
    )
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space == dict(SPACE.to_dict(), stem_stride=stride)
    assert cfg.model.backbone.out_indices == indices
    neck = cfg.model.neck[0] if isinstance(cfg.model.neck, list) else cfg.model.neck
    assert neck.in_channels == channels
    assert any(note in line for line in said), said
    assert step(cfg)[1] == []


def test_a_pyramid_that_makes_its_last_map_itself(home, tmp_path):
    said = []
    files = export_arch(
        str(home[0] / 'best_arch.json'), None, str(tmp_path), root=ROOT,
        detector='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', say=said.append,
    )  # fmt: skip
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space.stem_stride == 4
    assert (cfg.model.neck.in_channels, cfg.model.neck.num_outs) == ([8, 16, 32], 5)
    assert 'model.neck: takes 3 of 4 maps; what is missing it makes itself' in said
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone, neck = MODELS.build(cfg.model.backbone), MODELS.build(cfg.model.neck)
    outs = neck(backbone.eval()(torch.zeros(1, 3, 256, 256)))
    assert [256 // x.shape[2] for x in outs] == [4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    'name',
    ['mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
     pytest.param('cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
                  marks=pytest.mark.slow)],
)  # fmt: skip
def test_one_line_where_the_maps_do_not_do(home, tmp_path, name):
    message = r'hands out maps of strides .*; those of ours are \(1, 2, 4\), or .*\(8, 16, 32\)'
    with pytest.raises(ValueError, match=message):
        export_arch(str(home[0] / 'best_arch.json'), None, str(tmp_path / 'out'), root=ROOT,
                    detector=f'mmdet::{name}')  # fmt: skip
    assert not (tmp_path / 'out').exists()


def test_a_detector_with_a_cell_takes_another_one(home, exported, tmp_path):
    """The strides are the detector's; channels are the answer's."""
    wide = NASBench201Space(channels=16, num_cells=2)
    answer = arch_content(wide.parse(OTHER), build_cost_model(wide, 16, 3))
    (tmp_path / 'other.json').write_text(json.dumps(answer))
    files = export_arch(
        str(tmp_path / 'other.json'), None, str(tmp_path / 'out'), root=ROOT,
        detector=str(exported[0]['detector']),
    )  # fmt: skip
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space == dict(wide.to_dict(), stem_stride=4)
    assert cfg.model.backbone.arch == OTHER and cfg.model.neck.in_channels == [16, 32, 64]
    files = export_arch(
        'cream-14m', None, str(tmp_path / 'cream'), root=ROOT,
        detector='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    )  # fmt: skip
    files = export_arch(
        str(home[0] / 'best_arch.json'), None, str(tmp_path / 'cells'), root=ROOT,
        detector=str(files['detector']),
    )  # fmt: skip
    backbone = Config.fromfile(str(files['detector'])).model.backbone  # another kind's before
    assert (backbone.type, backbone.space.stem_stride) == ('cream_mm.NASBench201Net', 8)
    assert 'out_indices' in backbone and backbone.out_indices == (0, 1, 2)


def test_configs_of_another_kind_are_not_built_on(home, tmp_path):
    about = json.loads((home[0] / 'best_arch.json').read_text())
    about['next_steps'] = dict(retrain='configs/cream/retrain_imagenet.py')
    (tmp_path / 'best_arch.json').write_text(json.dumps(about))
    said = []
    files = export_arch(
        str(tmp_path / 'best_arch.json'), str(home[0] / 'epoch_1.pth'), str(tmp_path / 'out'),
        root=ROOT, say=said.append,
    )  # fmt: skip
    assert said == [
        'next_steps.retrain=configs/cream/retrain_imagenet.py is around CreamNet, and '
        "'nas_bench_201' is a space of NASBench201Net: configs/nas_bench_201/retrain_cifar.py is "
        'built on in its place'
    ]
    assert Config.fromfile(str(files['retrain'])).model.backbone.type == 'cream_mm.NASBench201Net'


def test_a_checkpoint_that_is_none_of_the_supernet(home, exported, tmp_path):
    path, out = str(home[0] / 'best_arch.json'), str(tmp_path / 'out')
    with pytest.raises(KeyError, match='hold no banks of .*, or to a fixed network'):
        export_arch(path, str(exported[0]['weights']), out, root=ROOT)
    with pytest.raises(ValueError, match='only the best_arch.json of its search names that'):
        export_arch(CELL, str(home[0] / 'epoch_1.pth'), out, root=ROOT)
    assert not Path(out).exists()


def test_the_answer_of_a_search_in_a_detector(tmp_path):
    """Its stem is the search's; data and classes are a detector's, and no classifier's."""
    space = NASBench201Space(channels=8, num_cells=1, stem_stride=4)
    costs = build_cost_model(space, (192, 256), head=None)
    about = dict(ANSWER, task='detection', scale=[256, 192], classes=['ant', 'bee'])
    del about['router']
    answer = arch_content(space.parse(CELL), costs, **about)
    (tmp_path / 'best_arch.json').write_text(json.dumps(answer))
    supernet = NASBench201Supernet(space, out_indices=(0, 1, 2))
    state = supernet.state_dict(prefix='backbone.') | {'neck.x.weight': torch.zeros(1)}
    torch.save(dict(state_dict=state), tmp_path / 'epoch_1.pth')
    files = export_arch(
        str(tmp_path / 'best_arch.json'), None, str(tmp_path / 'out'), root=ROOT
    )  # fmt: skip
    about = read_arch_file(files['arch'])
    assert about['costs']['macs_m'] * 1e6 == costs.cost(space.parse(CELL)).macs
    assert 'num_classes' not in about and about['space']['stem_stride'] == 4
    cfg = Config.fromfile(str(files['detector']))
    assert (cfg.data_root, cfg.num_classes, cfg.scale) == ('images', 2, (256, 192))
    assert cfg.model.backbone.space == space.to_dict()
    retrain = Config.fromfile(str(files['retrain']))
    assert retrain.num_classes == 1000 and retrain.model.head.hidden_channels == 0
    assert retrain.model.backbone.space.stem_stride == 4
