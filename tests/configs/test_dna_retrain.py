"""DNA's retraining recipe: its numbers are the released ones."""

import math
from pathlib import Path

import pytest
import torch
from conftest import learning_rates
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from cream_mm.config.load import load_config
from cream_mm.models.backbones.published import published_nets
from cream_mm.registry import MODELS
from cream_mm.testing import write_image_folder

DNA = Path(__file__).resolve().parents[2] / 'configs/dna'
BASE = DNA / 'retrain_imagenet.py'
NETS = [name for name in published_nets if name.startswith('dna-')]


def build_model(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', NETS)
def test_each_published_network_has_its_recipe(name):
    cfg = load_config(str(DNA / f'retrain_{name}.py'), check_data=False)
    base = load_config(str(BASE), {'model.backbone.arch': name}, check_data=False)
    assert cfg._cfg_dict == base._cfg_dict  # nothing else differs
    model = build_model(cfg)
    assert model.backbone.arch.to_list() == published_nets[name].arch
    params = {'dna-a': 4_243_318, 'dna-b': 4_918_180, 'dna-c': 5_273_896, 'dna-d': 6_409_486}
    assert sum(p.numel() for p in model.parameters()) == params[name]
    last = model.backbone.blocks[5][-1]
    blocks = sum(map(len, model.backbone.blocks[:-1]))
    assert last.drop_path.drop_prob == pytest.approx(0.2 * (blocks - 2) / blocks)


def test_learning_rates():
    """1e-4 + t (0.064 - 1e-4) / 5, and then 0.064 * 0.963 ** floor(t / 3)."""
    cfg = Config.fromfile(str(BASE))
    rates = learning_rates(cfg)
    expected = {
        0: 1e-4, 1: 0.01288, 4: 0.05122, 5: 0.061632, 6: 0.059351616, 8: 0.059351616,
        9: 0.057155606208, 250: 0.064 * 0.963**83, 499: 0.064 * 0.963**166,
    }  # fmt: skip
    assert {epoch: rates[epoch] for epoch in expected} == pytest.approx(expected, rel=1e-12)
    assert len(rates) == cfg.train_cfg.max_epochs == 500
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=1024)
    assert cfg.batch_size == cfg.train_dataloader.batch_size == 128


def test_what_the_recipe_says():
    cfg = Config.fromfile(str(BASE))
    assert cfg.optim_wrapper.optimizer == dict(
        type='cream_mm.RMSpropTF', lr=0.064, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=1e-4
    )
    assert cfg.model.head.dropout == cfg.model.backbone.drop_path_rate == 0.2
    loss = cfg.model.head.loss
    assert (loss.type, loss.label_smooth_val, loss.mode) == ('LabelSmoothLoss', 0.1, 'original')
    (ema,) = cfg.custom_hooks
    assert (ema.type, ema.momentum, ema.update_buffers) == ('cream_mm.EMAHook', 2e-4, True)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        _, resize, crop, _ = loader.dataset.pipeline
        assert (resize.scale, resize.interpolation, crop.crop_size) == (256, 'bicubic', 224)
        assert crop.crop_size / resize.scale == 0.875


def test_weights_alone_decay():
    cfg = Config.fromfile(str(DNA / 'retrain_dna-a.py'))
    model = build_model(cfg)
    optim = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {id(p): g['weight_decay'] for g in optim.param_groups for p in g['params']}
    for name, param in model.named_parameters():
        assert decay.pop(id(param)) == (1e-4 if param.ndim > 1 else 0.0), name
    assert not decay


def test_initial_weights():
    """N(0, 2 / (k k out)) of every convolution, depthwise ones too; U(-1, 1) / sqrt(out)."""
    torch.manual_seed(0)
    model = build_model(Config.fromfile(str(DNA / 'retrain_dna-b.py')))
    model.init_weights()
    ratios = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            kernel, out = module.kernel_size[0], module.out_channels
            std = math.sqrt(2 / (kernel * kernel * out))
            n = module.weight.numel()
            ratio = module.weight.std().item() / std
            assert abs(ratio - 1) < 5 / math.sqrt(2 * n), name
            assert abs(module.weight.mean().item()) < 5 * std / math.sqrt(n), name
            assert module.bias is None or not module.bias.any(), name
            ratios.append((module.groups > 1, ratio))
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any(), name
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            assert 0.999 * bound < module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
            assert not module.bias.any()
    assert sum(depthwise for depthwise, _ in ratios) == 21  # one of each block


def test_images_of_training_keep_their_colours_nearly(tmp_path):
    root = write_image_folder(tmp_path, train=1, val=0, size=(250, 300))
    cfg = Config.fromfile(str(BASE))
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [step.type for step in pipeline] == [
        'cream_mm.LoadImage', 'cream_mm.RandomResizedCrop', 'RandomFlip', 'ColorJitter',
        'PackInputs',
    ]  # fmt: skip
    image = dict(img_path=str(root / 'train/ant/000.jpg'), gt_label=0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        packed = Compose(pipeline)(image)
    assert packed['inputs'].shape == (3, 224, 224) and packed['inputs'].dtype == torch.uint8
    jitter = pipeline[3]
    assert (jitter.brightness, jitter.contrast, jitter.saturation) == (0.06, 0.06, 0.06)
    assert jitter.get('hue', 0.0) == 0.0
