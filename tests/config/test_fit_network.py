"""A published network of another space, put into a config of the repository by its name."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from cream_mm.config.fit_network import fit_network
from cream_mm.config.load import load_config
from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content
from cream_mm.spaces import NASBench201Space

RETRAIN = str(Path(__file__).parents[2] / 'configs/cream/retrain_imagenet.py')
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@pytest.fixture
def lines(monkeypatch):
    said = []
    module = importlib.import_module('cream_mm.config.fit_network')
    monkeypatch.setattr(module, 'say_early', said.append)
    return said


@pytest.mark.parametrize(
    ('name', 'keys', 'channels'),
    [
        ('cream-14m', [], 320),
        ('dna-b', ['hidden_channels', 'in_channels'], 1280),
        ('lite0', ['act', 'norm_cfg'], 320),
        ('lite2', ['act', 'in_channels', 'norm_cfg'], 352),
    ],
)
def test_the_head_follows_the_command_line(lines, name, keys, channels):
    before = load_config(RETRAIN, check_data=False).model.head
    cfg = load_config(RETRAIN, {'model.backbone.arch': name}, check_data=False)
    head = cfg.model.head
    assert sorted(key for key in head if head[key] != before.get(key)) == keys
    assert len(lines) == bool(keys) and all(key in line for line in lines for key in keys)
    assert head.dropout == 0.2 and head.loss == before.loss
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    assert model.head.in_channels == channels
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
    own = importlib.import_module('cream_mm').create_model(name)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in own.state_dict().items()
    }


def config(arch, head=None, **backbone):
    head = dict(type='cream_mm.CreamClsHead', num_classes=5, **(head or {}))
    backbone = dict(type='cream_mm.CreamNet', arch=arch, **backbone)
    return Config(dict(model=dict(backbone=backbone, head=head, data_preprocessor=IMAGENET)))


def test_a_config_itself_has_to_fit(lines):
    fit_network(config('cream-14m'), {})
    fit_network(config('cream-14m', dict(hidden_channels=64)), {})
    fit_network(config('dna-a', dict(in_channels=1280, hidden_channels=None)), {})
    norm = dict(type='BN', eps=1e-3)
    fit_network(config('lite0', dict(norm_cfg=norm, act='relu6')), {})
    synced = dict(type='SyncBN', eps=1e-3, momentum=0.01)
    fit_network(config('lite0', dict(norm_cfg=synced, act='relu6')), {})
    with pytest.raises(ValueError, match="needs norm_cfg={'eps': 0.001, 'type': 'BN'}$"):
        fit_network(config('lite0', dict(norm_cfg=dict(type='BN'), act='relu6')), {})
    with pytest.raises(ValueError, match="does not fit lite0: it needs norm_cfg=.*act='relu6'"):
        fit_network(config('lite0'), {})
    with pytest.raises(ValueError, match='does not fit dna-a: it needs in_channels=1280, hidden_'):
        fit_network(config('dna-a'), {})
    with pytest.raises(ValueError, match='does not fit cream-14m: it needs norm_cfg=None'):
        fit_network(config('cream-14m', dict(norm_cfg=norm)), {})
    with pytest.raises(ValueError, match='it needs in_channels=96'):
        fit_network(config('cream-14m', out_indices=[1, 4]), {})
    assert lines == []


def test_the_head_of_a_search(lines):
    def search(space, **head):
        cfg = config('', head)
        cfg.model.backbone = dict(type='cream_mm.CreamSupernet', space=space)
        fit_network(cfg, {})

    search('lite0', norm_cfg=dict(type='BN', eps=1e-3), act='relu6')
    search('lite0', hidden_channels=0)
    search(dict(width_mult=0.5), hidden_channels=64)
    with pytest.raises(ValueError, match="'lite0' asks for a norm_cfg and an act, head_norm=True"):
        search('lite0')
    with pytest.raises(ValueError, match="space 'cream' asks for no norm_cfg, head_norm=False"):
        search(None, norm_cfg=dict(type='BN'))
    assert lines == []


def test_others_are_left_alone(lines):
    for cfg in (
        Config(dict(model=dict(type='A', backbone=dict(type='ResNet', arch='lite0')))),
        Config(dict(model=dict(type='A'))),
        Config({}),
        config('missing.json'),
        config([[0], [0], [3, 3], [3, 3], [1], [3], [0]]),
    ):
        before = cfg.to_dict()
        fit_network(cfg, {})
        assert cfg.to_dict() == before
    assert lines == []


CELLS = str(Path(__file__).parents[2] / 'configs/nas_bench_201/retrain_cifar.py')
CELL = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'


def test_the_head_follows_a_network_of_cells(lines, tmp_path):
    """From a file with other channels, as the head of the config says how to do it."""
    space = NASBench201Space(channels=8, num_cells=1)
    answer = arch_content(space.parse(CELL), build_cost_model(space, 32, 10))
    (tmp_path / 'best_arch.json').write_text(json.dumps(answer))
    options = {'model.backbone.arch': str(tmp_path / 'best_arch.json')}
    cfg = load_config(CELLS, options, check_data=False)
    assert cfg.model.head.in_channels == 32 and len(lines) == 1 and 'in_channels=32' in lines[0]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    assert model.backbone.space == space and model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    cfg = load_config(CELLS, {'model.backbone.arch': CELL}, check_data=False)
    assert cfg.model.head.in_channels == 64 and len(lines) == 1
    with pytest.raises(ValueError, match='of a MBConvSpace: its backbone is cream_mm.CreamNet'):
        load_config(CELLS, {'model.backbone.arch': 'cream-14m'}, check_data=False)


def test_arguments_of_a_network_of_cells():
    wrong = {'model.backbone.space': dict(stem_strid=4)}
    with pytest.raises(ValueError, match="unknown key 'stem_strid'.*did you mean 'stem_stride'"):
        load_config(CELLS, wrong, check_data=False)
    with pytest.raises(ValueError, match='space.num_cells is 0; it is a whole number of at least'):
        load_config(CELLS, {'model.backbone.space': dict(num_cells=0)}, check_data=False)


@pytest.mark.parametrize(
    'options', [{'channels': 4}, {'model.backbone.space.channels': 4}], ids=['top', 'space']
)
@pytest.mark.parametrize(
    'name',
    ['spos/search_nb201', 'close/search_nb201', 'cream/search_nb201', 'nao_v2/search_cifar10'],
)
def test_the_head_follows_the_width_of_cells(lines, name, options):
    options = {**options, 'model.backbone.space.num_cells': 1}
    cfg = load_config(CELLS.replace('nas_bench_201/retrain_cifar', name), options, check_data=False)
    assert cfg.model.backbone.space.channels == 4 and cfg.model.head.in_channels == 16
    assert any('in_channels=16' in line for line in lines)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
