"""configs/nao_v2/retrain_cifar10.py and configs/demo/nao_digits.py: the recipe, and a whole way."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import cream_mm
from cream_mm.config.load import load_config
from cream_mm.spaces import NAOSpace
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
RETRAIN = str(ROOT / 'configs/nao_v2/retrain_cifar10.py')
DEMO = str(ROOT / 'configs/demo/nao_digits.py')


def tool(name, *args):
    """Run a tool in this process, as from the command line."""
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(arg) for arg in args])


def test_the_published_network_and_recipe():
    """NAONet-V2 as it is trained, and what the release trains it with."""
    cfg = load_config(RETRAIN, check_data=False)
    backbone, head = cfg.model.backbone, cfg.model.head
    assert backbone.space == dict(num_cells=6, channels=36)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    used = [*model.backbone.parameters(), *model.head.classifier.parameters()]
    assert sum(p.numel() for p in used) == 4_387_654
    assert (head.dropout, head.aux_weight, backbone.drop_path_rate) == (0.4, 0.4, 0.2)
    assert (cfg.max_epochs, cfg.batch_size, cfg.auto_scale_lr.base_batch_size) == (600, 128, 128)
    optimizer = dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper == dict(optimizer=optimizer, clip_grad=dict(max_norm=5.0))
    (schedule,) = cfg.param_scheduler
    assert schedule == dict(type='CosineAnnealingLR', eta_min=0, end=600)
    cutout = next(step for step in cfg.train_pipeline if step.type == 'Cutout')
    mean = cfg.model.data_preprocessor.mean
    assert (cutout.shape, cutout.prob) == (16, 1.0)
    assert list(cutout.pad_val) == [round(value) for value in mean[::-1]]


@pytest.mark.parametrize(
    ('options', 'channels', 'aux'),
    [
        ({'channels': 8}, 128, 128),
        ({'num_cells': 1}, 576, 576),
        ({'model.backbone.arch': '0 0 1 1 2 2 2 3 3 4 2 0 4 1 1 1 5 3 4 0 '
          '1 2 1 2 1 2 1 0 1 0 1 1 1 0 1 3 1 0 1 1'}, 144, 6 * 144),
    ],
)  # fmt: skip
def test_the_head_follows_scale_and_architecture(options, channels, aux):
    head = load_config(RETRAIN, options, check_data=False).model.head
    assert (head.in_channels, head.aux_channels) == (channels, aux)


def test_photographs_get_a_stride():
    options = {'input_size': 64, 'model.backbone.space.stem_stride': 4, 'channels': 4,
               'num_cells': 1}  # fmt: skip
    cfg = load_config(RETRAIN, options, check_data=False)
    assert cfg.train_pipeline[1].scale == cfg.test_pipeline[1].scale == 64
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    (x,) = model.backbone(torch.zeros(1, 3, 64, 64))
    assert x.shape == (1, 64, 4, 4)


@pytest.mark.slow
def test_the_demo_from_search_to_retraining(tmp_path, monkeypatch):
    """Made small: two phases of a few steps, then report, export and an epoch of the network."""
    photos = write_image_folder(tmp_path / 'photos', train=20, val=4, size=(28, 28))
    monkeypatch.chdir(tmp_path)
    tool(
        'train', DEMO, '--work-dir', 'run', '--cfg-options', f'data_root={photos}', 'max_epochs=2',
        'phases=2', 'train_cfg.sampler.pool_size=4', 'train_cfg.num_new=3', 'batch_size=8',
        'train_cfg.strategy.epochs=3', 'channels=4', 'test_cfg.num_random=2', 'holdout=0.3',
    )  # fmt: skip
    answer = json.loads(Path('run/best_arch.json').read_text())
    assert answer['weights_travel'] is False and answer['choice']['rule'] == 'archive'
    space = NAOSpace(channels=4, num_cells=1)
    assert answer['space'] == space.to_dict() and answer['num_classes'] == 2
    rated = json.loads(Path('run/search.json').read_text())['rated']
    assert [row['source'] for row in rated].count('archive') == 7
    tool('report', 'run')
    page = Path('run/report.html').read_text()
    assert '7 of the pools that were trained' in page and 'were in no pool' in page
    assert 'chosen cell: Reduction cell' in page
    tool('export_arch', 'run')
    assert not Path('run/export/weights.pth').exists()
    tool('train', 'run/export/retrain.py', '--work-dir', 'retrained', '--cfg-options',
         'max_epochs=1', 'num_workers=0')  # fmt: skip
    cfg = Config.fromfile('run/export/retrain.py')
    assert cfg.model.head.aux_channels == 16 * len(space.concat(space.parse(answer['arch']))[1])
    net = cream_mm.create_model('run/export/arch.json', checkpoint='retrained/epoch_1.pth')
    assert net(torch.zeros(1, 3, 28, 28)).shape == (1, 2)
