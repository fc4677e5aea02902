"""An answer of two cells as a folder: no weights, a retraining at either scale, and detectors."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from test_export_cells import step

from cream_mm import create_model
from cream_mm.apis.export_arch import FROM_SCRATCH, export_arch, export_front
from cream_mm.apis.predict import open_model
from cream_mm.config.load import load_config
from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content, read_arch_file
from cream_mm.files.front_file import FRONT_FORMAT
from cream_mm.models import NAONet
from cream_mm.spaces import NAOSpace

ROOT = str(Path(__file__).parents[2])
RETRAIN = f'{ROOT}/configs/nao_v2/retrain_cifar10.py'
DETECTOR = f'{ROOT}/configs/detection/retinanet_nao_fpn_1x_coco.py'
SPACE = NAOSpace(channels=4, num_cells=1)
V2 = '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
# One state and six are concatenated: maps are as wide as the nodes; an input goes by the cell.
CHAIN = '0 0 1 1 2 2 2 3 3 4 2 0 4 1 1 1 5 3 4 0 | 1 2 1 2 1 2 1 0 1 0 1 1 1 0 1 3 1 0 1 1'
MEAN, STD = [10.0, 20.0, 30.0], [50.0, 60.0, 70.0]
ANSWER = dict(
    preprocess=dict(mean=MEAN, std=STD, to_rgb=True), norm_cfg=dict(type='BN', eps=0.25),
    classes=['ant', 'bee', 'cow'], data_root='images', batch_size=16, weights_travel=False,
    budget=dict(macs_m=[0, 9]),
    next_steps=dict(
        retrain='configs/nao_v2/retrain_cifar10.py',
        detector='configs/detection/retinanet_nao_fpn_1x_coco.py',
    ),
)  # fmt: skip


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """What a search leaves: an answer, another path of the front, and a supernet of no use."""
    home = tmp_path_factory.mktemp('search')
    costs = build_cost_model(SPACE, 16, 3, 0)
    answer = arch_content(SPACE.parse(CHAIN), costs, **ANSWER)
    (home / 'best_arch.json').write_text(json.dumps(answer))
    torch.save(dict(state_dict={}), home / 'epoch_1.pth')
    steps = [
        dict(arch=SPACE.parse(text).to_list(), rating={},
             costs=costs.cost(SPACE.parse(text)).in_units())
        for text in (V2, CHAIN)
    ]  # fmt: skip
    front = dict(format=FRONT_FORMAT, cost='macs_m', steps=steps)
    (home / 'front.json').write_text(json.dumps(front))
    return home


@pytest.fixture(scope='module')
def exported(home, tmp_path_factory):
    out, said = tmp_path_factory.mktemp('export'), []
    path = str(home / 'best_arch.json')
    return export_arch(path, None, str(out), root=ROOT, say=said.append), said


def classifier(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


def test_no_weights_and_both_scales_are_told(exported):
    files, said = exported
    assert sorted(files) == ['arch', 'detector', 'retrain'] and said[0] == FROM_SCRATCH
    costs = [
        build_cost_model(space, 16, 3, 0).cost(SPACE.parse(CHAIN)).in_units()
        for space in (SPACE, NAOSpace(channels=36, num_cells=6))
    ]
    params, macs = zip(*((c['params_m'], c['macs_m']) for c in costs))
    assert said[1:] == [
        f'the network has the scale of the search, channels=4, num_cells=1 ({params[0]:.3f} M '
        f'params, {macs[0]:.1f} MMACs); published ones are trained at channels=36, num_cells=6 '
        f'({params[1]:.3f} M params, {macs[1]:.1f} MMACs): export with --space channels=36 '
        'num_cells=6'
    ]
    about = read_arch_file(files['arch'])
    assert about['space'] == SPACE.to_dict() and about['budget'] == ANSWER['budget']
    net = create_model(str(files['arch']))
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    assert sum(p.numel() for p in net.parameters()) == round(costs[0]['params_m'] * 1e6)


def test_the_retraining_has_the_scale_of_the_search(exported):
    path = str(exported[0]['retrain'])
    cfg = Config.fromfile(path)
    backbone = cfg.model.backbone
    assert (backbone.arch, backbone.space) == (CHAIN, SPACE.to_dict())
    assert (cfg.num_cells, cfg.channels, cfg.input_size, cfg.batch_size) == (1, 4, 16, 16)
    head = cfg.model.head
    assert (head.in_channels, head.aux_channels, head.num_classes) == (16, 16 * 6, 3)
    assert backbone.norm_cfg.eps == 0.25 and list(cfg.model.data_preprocessor.mean) == MEAN
    (cutout,) = (step for step in cfg.train_pipeline if step.type == 'Cutout')
    assert (cutout.shape, cutout.pad_val) == (16, (30, 20, 10))  # BGR
    assert cfg.optim_wrapper == dict(
        optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4),
        clip_grad=dict(max_norm=5.0),
    )
    assert (cfg.max_epochs, cfg.param_scheduler[0].end, head.dropout) == (600, 600, 0.4)
    assert (backbone.drop_path_rate, head.aux_weight) == (0.2, 0.4)
    text = Path(path).read_text()
    assert '\nchannels = 4\n' in text and 'channels=channels' in text and 'weights.pth' not in text
    assert text.splitlines()[:2] == [
        f'# Retrain {CHAIN}.',
        '# It starts from scratch: no weights of the supernet fit the network.',
    ]


def test_two_values_make_it_a_final_network(exported, monkeypatch):
    said = []
    module = importlib.import_module('cream_mm.config.fit_network')
    monkeypatch.setattr(module, 'say_early', said.append)
    options = dict(num_cells=2, channels=6)
    cfg = load_config(str(exported[0]['retrain']), options, check_data=False)
    space = NAOSpace(channels=6, num_cells=2)
    assert cfg.model.backbone.space == space.to_dict()
    assert (cfg.model.head.in_channels, cfg.model.head.aux_channels) == (24, 24 * 6)
    assert said == ['The head is that of the network: in_channels=24, aux_channels=144.']
    model = classifier(cfg)
    assert model.backbone.space == space and model(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
    feats = model.train().backbone(torch.zeros(2, 3, 16, 16))
    assert [x.shape[1] for x in feats] == [144, 24]


def test_an_export_at_another_scale(home, tmp_path):
    said = []
    files = export_arch(
        str(home / 'best_arch.json'), None, str(tmp_path), root=ROOT, say=said.append,
        space=dict(num_cells=2, channels=36),
    )  # fmt: skip
    assert len(said) == 2 and 'num_cells=6' in said[1] and 'channels' not in said[1]
    space = NAOSpace(channels=36, num_cells=2)
    about = read_arch_file(files['arch'])
    assert about['space'] == space.to_dict() and 'budget' not in about
    assert about['costs'] == build_cost_model(space, 16, 3, 0).cost(SPACE.parse(CHAIN)).in_units()
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space == dict(space.to_dict(), stem_stride=4)
    assert cfg.model.neck.in_channels == [36, 72, 144]
    every = export_front(
        str(home), None, str(tmp_path / 'all'), root=ROOT, space=dict(channels=36, num_cells=6)
    )
    for one in every.values():
        assert Config.fromfile(str(one['retrain'])).model.backbone.space.channels == 36
    with pytest.raises(ValueError, match='--space depths: a NAOSpace has channels, num_cells, st'):
        export_front(str(home), None, str(tmp_path / 'x'), root=ROOT, space=dict(depths=[1]))
    with pytest.raises(ValueError, match="num_cells of a space is 1 to 1000; got 'many'"):
        export_arch(V2, None, str(tmp_path / 'x'), root=ROOT, space=dict(num_cells='many'))
    assert not (tmp_path / 'x').exists()


def test_a_checkpoint_is_refused(home, tmp_path):
    with pytest.raises(ValueError, match='the weights of this supernet mean nothing in the netw'):
        export_arch(
            str(home / 'best_arch.json'), str(home / 'epoch_1.pth'), str(tmp_path / 'out'),
            root=ROOT,
        )  # fmt: skip
    assert not (tmp_path / 'out').exists()


def test_the_detector(exported):
    cfg = load_config(str(exported[0]['detector']), check_data=False)
    backbone = cfg.model.backbone
    assert backbone.space == dict(SPACE.to_dict(), stem_stride=4) and backbone.arch == CHAIN
    assert backbone.out_indices == (0, 1, 2) and cfg.model.neck.in_channels == [4, 8, 16]
    assert list(cfg.model.data_preprocessor.mean) == MEAN
    model, idle = step(cfg)
    assert idle == []
    with torch.no_grad():
        maps = model.backbone(torch.zeros(1, 3, 128, 128))
    assert [128 // x.shape[2] for x in maps] == [4, 8, 16]


def test_the_config_of_the_repository():
    cfg = load_config(DETECTOR, check_data=False)
    net = classifier(Config(dict(model=cfg.model.backbone)))
    assert isinstance(net, NAONet) and net.space == NAOSpace(stem_stride=4)
    assert list(net.out_channels) == cfg.model.neck.in_channels


def test_a_retrained_checkpoint_has_a_second_classifier(exported, tmp_path):
    """Training writes it; prediction, a detector and a further export take the rest."""
    cfg = Config.fromfile(str(exported[0]['retrain']))
    model = classifier(cfg)
    model.init_weights()
    model.eval()
    assert any(key.startswith('head.auxiliary_head.') for key in model.state_dict())
    meta = dict(dataset_meta=dict(classes=('ant', 'bee', 'cow')))
    path = str(tmp_path / 'epoch_600.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    images = torch.randn(2, 3, 16, 16)
    expected = model(images)
    net = create_model(str(exported[0]['arch']), checkpoint=path)
    torch.testing.assert_close(net(images, mode='tensor'), expected)
    for config in (str(exported[0]['arch']), str(exported[0]['retrain'])):
        model = open_model(config, path, device='cpu')
        torch.testing.assert_close(model(images, mode='tensor'), expected)
        assert model.dataset_meta['classes'] == ('ant', 'bee', 'cow')
    maps = create_model(str(exported[0]['arch']), checkpoint=path, features_only=True)
    assert [x.shape[1] for x in maps(images)] == [4, 8, 16]
    options = {'model.backbone.init_cfg.type': 'Pretrained',
               'model.backbone.init_cfg.prefix': 'backbone.',
               'model.backbone.init_cfg.checkpoint': path}  # fmt: skip
    detector = load_config(str(exported[0]['detector']), options, check_data=False).model.backbone
    net = classifier(Config(dict(model=detector)))
    net.init_weights()
    assert torch.equal(
        net.cells[0].ops[0].x_op.op[1].weight, model.backbone.cells[0].ops[0].x_op.op[1].weight
    )


@pytest.mark.parametrize(
    ('name', 'stride', 'indices', 'channels', 'note'),
    [
        ('retinanet/retinanet_r50_fpn_1x_coco.py', 8, (0, 1, 2), [4, 8, 16], 'start_level=0'),
        pytest.param('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 8, (0, 1, 2), [4, 8, 16],
                     'stem_stride=8', marks=pytest.mark.slow),
        pytest.param('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 8, (0, 1, 2), [4, 8, 16],
                     'start_level=0', marks=pytest.mark.slow),
        pytest.param('hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py', 4, (0, 1, 2), [4, 8, 16],
                     'takes 3 of 4 maps', marks=pytest.mark.slow),
        pytest.param('yolof/yolof_r50-c5_8xb8-1x_coco.py', 8, (2,), 16, 'stride 32',
                     marks=pytest.mark.slow),
        pytest.param('ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', 8, (1, 2), (8, 16),
                     'stem_stride=8', marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_detector_of_mmdet(home, tmp_path, name, stride, indices, channels, note):
    said = []
    files = export_arch(
        str(home / 'best_arch.json'), None, str(tmp_path), root=ROOT, detector=f'mmdet::{name}',
        say=said.append,
    )  # fmt: skip
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space == dict(SPACE.to_dict(), stem_stride=stride)
    assert cfg.model.backbone.out_indices == indices
    neck = cfg.model.neck[0] if isinstance(cfg.model.neck, list) else cfg.model.neck
    assert neck.in_channels == channels
    assert any(note in line for line in said), said
    assert step(cfg)[1] == []


def test_a_detector_takes_another_network_of_cells(exported, tmp_path):
    """Its strides stay; the neck follows the states that the other cell concatenates."""
    answer = arch_content(
        NAOSpace(channels=6).parse(V2), build_cost_model(NAOSpace(channels=6), 16, 3)
    )
    (tmp_path / 'other.json').write_text(json.dumps(answer))
    files = export_arch(
        str(tmp_path / 'other.json'), None, str(tmp_path / 'out'), root=ROOT,
        detector=str(exported[0]['detector']),
    )  # fmt: skip
    cfg = Config.fromfile(str(files['detector']))
    assert cfg.model.backbone.space == NAOSpace(channels=6, stem_stride=4).to_dict()
    assert (cfg.model.backbone.arch, cfg.model.neck.in_channels) == (V2, [24, 48, 96])
    cell = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'
    files = export_arch(
        cell, None, str(tmp_path / 'cells'), root=ROOT, detector=str(files['detector'])
    )
    cfg = Config.fromfile(str(files['detector']))  # of another kind
    assert cfg.model.backbone.type == 'cream_mm.NASBench201Net'
    assert cfg.model.backbone.space.stem_stride == 4 and cfg.model.neck.in_channels == [16, 32, 64]


def test_one_line_where_the_maps_do_not_do(home, tmp_path):
    message = r'hands out maps of strides .*; those of ours are \(1, 2, 4\), or .*\(8, 16, 32\)'
    with pytest.raises(ValueError, match=message):
        export_arch(str(home / 'best_arch.json'), None, str(tmp_path / 'out'), root=ROOT,
                    detector='mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py')  # fmt: skip
    assert not (tmp_path / 'out').exists()


def test_from_text_alone(tmp_path):
    """The published network by what it is, without a search."""
    files = export_arch(V2, None, str(tmp_path), root=ROOT, space=dict(channels=36, num_cells=6))
    about = read_arch_file(files['arch'])
    assert about['input_size'] == [32, 32] and about['num_classes'] == 1000
    retrain = Config.fromfile(str(files['retrain']))
    assert retrain.model.head.in_channels == retrain.model.head.aux_channels == 576
