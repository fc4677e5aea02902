"""The published recipes: every config holds together, and its numbers are the published ones."""

from pathlib import Path

import pytest
import torch
from conftest import learning_rates
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from cream_mm.config.load import load_config
from cream_mm.models.backbones.published import published_nets
from cream_mm.registry import MODELS
from cream_mm.search import PathSampler
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space, write_image_folder

CONFIG_DIR = Path(__file__).resolve().parents[2] / 'configs'
CREAM = CONFIG_DIR / 'cream'
ALL = sorted(p for p in CONFIG_DIR.rglob('*.py') if p.parent.name != '_base_')
RETRAIN = sorted(CREAM.glob('retrain_*.py'))
SEARCH = sorted(p for p in CREAM.glob('search_*.py') if p.stem != 'search_nb201')
NETS = sorted(name for name in published_nets if name.startswith('cream-'))


def name_of(path):
    return path.stem


def read(path, reader):
    """By plain mmengine, or by the reader of this repository."""
    return Config.fromfile(str(path)) if reader == 'mmengine' else load_config(
        str(path), check_data=False
    )  # fmt: skip


def below(node):
    """Every dictionary below a config, itself included."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from below(value)


def assert_sizes(cfg, size):
    """Everything that depends on the input size fits ``size``; returns what was looked at."""
    expected = {
        'cream_mm.RandomResizedCrop': ('scale', size),
        'RandomCrop': ('crop_size', size),
        'CenterCrop': ('crop_size', size),
        'ResizeEdge': ('scale', round(size / 0.875)),
    }
    found = []
    for node in below(cfg._cfg_dict):
        if node.get('type') in expected:
            key, value = expected[node['type']]
            assert node[key] == value, node
            found.append(node)
        if 'input_size' in node:
            assert node['input_size'] == size
    return found


def hook_datasets(cfg):
    return [hook.dataset for hook in cfg.custom_hooks if 'dataset' in hook]


def number_of_steps(cfg):
    """How many resizes and crops a config of Cream has, those of its ingredients included."""
    count = 8  # train_pipeline and its loader 1 each, test_pipeline and two loaders 2 each
    if 'train_set' in cfg:
        count += 1 + 2 + 2 + 2  # train_set, held_out_set, val_set, bn_dataset
    return count + 2 * len(hook_datasets(cfg))


def build_model(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


# --- every config ---


@pytest.mark.parametrize('reader', ['mmengine', 'cream_mm'])
@pytest.mark.parametrize('path', ALL, ids=name_of)
def test_sizes_agree(path, reader):
    cfg = read(path, reader)
    if path.parent.name == 'demo':
        cfg.pop('val_set', None)  # an ingredient of the ImageNet config; the demo does not use it
    steps = assert_sizes(cfg, cfg.input_size) if 'input_size' in cfg else []
    if path in RETRAIN + SEARCH:
        assert len(steps) == number_of_steps(cfg)


# Everything in which the recipe of another input size differs from its base, and nothing else.
CROPS = {  # of training
    'retrain': ('train_pipeline.1.scale', 'train_dataloader.dataset.pipeline.1.scale'),
    'search': ('train_set.pipeline.1.scale',),
}
PIPELINES = {  # of everything else: .1.scale is the resize, .2.crop_size the crop
    'retrain': (
        'test_pipeline', 'val_dataloader.dataset.pipeline', 'test_dataloader.dataset.pipeline',
    ),
    'search': (
        'held_out_set.pipeline', 'val_set.pipeline', 'custom_hooks.1.dataset.pipeline',
        'test_cfg.bn_dataset.pipeline',
    ),
}  # fmt: skip
STEPWISE = {
    'max_epochs': 500,
    'train_cfg.max_epochs': 500,
    'param_scheduler.0': dict(
        type='cream_mm.WarmupStepLR', warmup_epochs=3, warmup_lr=1e-6, decay_epochs=2.4, gamma=0.973
    ),
}
RESIZED = {  # input size, resize before the crop, published FLOPs in millions, depths
    'cream-14m': (64, 73, [11, 14], [1, 2, 2, 1, 1]),
    'cream-43m': (96, 110, [34, 43], [1, 2, 2, 3, 2]),
    'cream-114m': (160, 183, [92, 114.5], [1, 2, 2, 3, 2]),
}


def plain(node):
    """Without tuples and mmengine's dictionaries."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def new_values(before, after, path=''):
    """Dotted path -> new value, as far down as both have the same keys."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not isinstance(before, dict) or not isinstance(after, dict) or before.keys() != after.keys():
        return {} if before == after else {path.lstrip('.'): after}
    found = {}
    for key in before:
        found.update(new_values(before[key], after[key], f'{path}.{key}'))
    return found


@pytest.mark.parametrize('reader', ['mmengine', 'cream_mm'])
@pytest.mark.parametrize('kind', ['search', 'retrain'])
@pytest.mark.parametrize('net', RESIZED)
def test_recipes_of_other_sizes(net, kind, reader):
    size, resize, flops, depths = RESIZED[net]
    expected = {'input_size': size}
    crops, pipelines = CROPS['retrain'], PIPELINES['retrain']
    if kind == 'search':
        crops, pipelines = crops + CROPS['search'], pipelines + PIPELINES['search']
        expected['model.input_size'] = size
        expected['budget'] = expected['model.budget'] = dict(published_flops_m=flops)
        expected.update({f'model.backbone.space.depths.{i}': n for i, n in enumerate(depths)})
        expected['test_cfg.next_steps.retrain'] = f'configs/cream/retrain_{net}.py'
    else:
        expected['model.backbone.arch'] = net
        expected.update(STEPWISE if net in STEPPED else {})
    expected.update(dict.fromkeys(crops, size))
    expected.update({f'{name}.1.scale': resize for name in pipelines})
    expected.update({f'{name}.2.crop_size': size for name in pipelines})
    cfg, base = (
        plain(read(CREAM / f'{kind}_{name}.py', reader)._cfg_dict) for name in (net, 'imagenet')
    )
    assert new_values(base, cfg) == expected


@pytest.mark.parametrize('path', RETRAIN + SEARCH, ids=name_of)
def test_pipelines_give_images_of_that_size(path, tmp_path):
    root = write_image_folder(tmp_path, train=1, val=0, size=(250, 300))
    image = dict(img_path=str(root / 'train/ant/000.jpg'), gt_label=0)
    cfg = Config.fromfile(str(path))
    pipelines = [cfg[f'{side}_dataloader'].dataset.pipeline for side in ('train', 'val', 'test')]
    if path in SEARCH:
        pipelines += [d.pipeline for d in (cfg.test_cfg.bn_dataset, *hook_datasets(cfg))]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for pipeline in pipelines:
            inputs = Compose(pipeline)(dict(image))['inputs']
            assert inputs.shape == (3, cfg.input_size, cfg.input_size)
            assert inputs.dtype == torch.uint8


@pytest.mark.parametrize('path', RETRAIN + SEARCH, ids=name_of)
def test_top_level_values_are_carried(path):
    options = dict(data_root='data/x', input_size=128, batch_size=16, max_epochs=50)
    old = Config.fromfile(str(path))
    cfg = load_config(str(path), options, check_data=False)
    steps = assert_sizes(cfg, 128)
    assert len(steps) == number_of_steps(cfg)
    roots = [node['data_root'] for node in below(cfg._cfg_dict) if 'data_root' in node]
    assert set(roots) == {'data/x'} and len(roots) >= 4
    assert cfg.train_dataloader.batch_size == 16 and cfg.val_dataloader.batch_size == 256
    assert cfg.train_cfg.max_epochs == 50
    factor = 50 / old.max_epochs
    for before, after in zip(old.param_scheduler, cfg.param_scheduler):
        if not before.get('by_epoch', True):
            assert after == before  # counted in iterations
            continue
        assert after.convert_to_iter_based
        for key in ('warmup_epochs', 'decay_epochs'):
            assert after.get(key) == pytest.approx(before[key] * factor if key in before else None)
        for key in ('T_max', 'end'):
            assert after.get(key) == (round(before[key] * factor) if key in before else None)


def test_a_recipe_per_published_network():
    for kind in (RETRAIN, SEARCH):
        stems = {path.stem.split('_', 1)[1] for path in kind}
        assert set(NETS) <= stems


# --- models and budgets ---


@pytest.mark.parametrize('net', NETS)
def test_retraining_builds_the_published_network(net):
    cfg = Config.fromfile(str(CREAM / f'retrain_{net}.py'))
    assert cfg.input_size == published_nets[net].input_size
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == (500 if net in STEPPED else 510)
    model = build_model(cfg)
    assert model.backbone.arch.to_list() == published_nets[net].arch


@pytest.mark.parametrize('net', NETS)
def test_paper_recipe_takes_any_network(net):
    size = published_nets[net].input_size
    options = {'model.backbone.arch': net, 'input_size': size}
    cfg = load_config(str(CREAM / 'retrain_imagenet_paper.py'), options, check_data=False)
    assert_sizes(cfg, size)
    assert cfg.model.backbone.arch == net
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=2048)
    assert cfg.optim_wrapper.optimizer.lr == 0.064
    types = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert 'AutoAugment' in types and 'RandAugment' not in types


def test_paper_recipe_without_random_erasing():
    option = {'train_dataloader.dataset.pipeline.4.erase_prob': 0.0}
    cfg = load_config(str(CREAM / 'retrain_imagenet_paper.py'), option, check_data=False)
    step = cfg.train_dataloader.dataset.pipeline[4]
    assert (step.type, step.erase_prob) == ('RandomErasing', 0.0)


@pytest.mark.parametrize('net', NETS)
def test_search_has_room_for_the_published_network(net):
    cfg = Config.fromfile(str(CREAM / f'search_{net}.py'))
    published = published_nets[net]
    model = build_model(cfg)
    arch = Arch.from_list(published.arch)
    assert model.backbone.space.depths == arch.depths
    assert model.cost_model.input_size == (published.input_size,) * 2
    # No bound is left over from the config below.
    (key, (low, high)) = next(iter(model.budget.bounds.items()))
    assert list(model.budget.bounds) == list(cfg.budget) == [key] == ['published_flops_m']
    # The names are the published FLOPs in millions, within 1 %.
    assert high == pytest.approx(float(net[len('cream-') : -1]), rel=0.01)
    assert low == pytest.approx(0.8 * high, rel=0.02)
    assert model.budget.is_feasible(arch)
    sampler = PathSampler(model.backbone.space, model.budget, op_prob=cfg.train_cfg.sampler.op_prob)
    paths = [sampler.sample(step) for step in range(100)]  # well below a second
    assert all(model.budget.is_feasible(path) for path in paths)
    assert len({str(path) for path in paths}) > 50
    retrain = CONFIG_DIR.parent / cfg.test_cfg.next_steps.retrain
    assert retrain == CREAM / f'retrain_{net}.py' and retrain.is_file()
    assert set(cfg.test_cfg.next_steps) == {'retrain', 'detector'}


# --- learning rates ---

STEPPED = ('cream-14m', 'cream-43m')
# By hand from 1e-6 + t (0.064 - 1e-6) / 3, and then from
# 1e-5 + 0.031995 (1 + cos(pi t / 500)) or 0.064 * 0.973^floor(t / 2.4).
COSINE_RATES = {
    0: 1e-6, 1: 0.021334, 2: 0.042667, 3: 0.0639943161644239, 10: 0.0639368651760625,
    250: 0.032005, 499: 1.06315539078925e-05, 500: 1e-5, 509: 1e-5,
}  # fmt: skip
STEP_RATES = {
    0: 1e-6, 1: 0.021334, 2: 0.042667, 3: 0.062272, 10: 0.057362931164224,
    250: 0.00371462828972438, 499: 0.000221583750816108,
}  # fmt: skip


@pytest.mark.parametrize('net', NETS)
def test_learning_rates(net):
    cfg = Config.fromfile(str(CREAM / f'retrain_{net}.py'))
    rates = learning_rates(cfg)
    expected = STEP_RATES if net in STEPPED else COSINE_RATES
    for epoch, rate in expected.items():
        assert rates[epoch] == pytest.approx(rate, rel=1e-12)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=1024)


# --- optimizer, loss ---


def test_rmsprop_by_hand():
    """eps in the root, squares from 1, the rate in the momentum buffer, decay in the gradient."""
    cfg = Config.fromfile(str(CREAM / 'retrain_imagenet.py')).optim_wrapper
    model = nn.Linear(3, 2).double()
    optim = build_optim_wrapper(model, cfg)
    weights = {name: param.detach().clone() for name, param in model.named_parameters()}
    squares = {name: torch.ones_like(w) for name, w in weights.items()}
    moments = {name: torch.zeros_like(w) for name, w in weights.items()}
    torch.manual_seed(0)
    for lr in (0.064, 0.03, 0.01):  # a step down does not touch what is in the buffer
        for group in optim.param_groups:
            group['lr'] = lr
        for name, param in model.named_parameters():
            param.grad = torch.randn_like(param)
            decay = 1e-5 if name == 'weight' else 0.0
            grad = param.grad + decay * weights[name]
            squares[name] = 0.9 * squares[name] + 0.1 * grad**2
            moments[name] = 0.9 * moments[name] + lr * grad / (squares[name] + 1e-3).sqrt()
            weights[name] = weights[name] - moments[name]
        optim.step()
        for name, param in model.named_parameters():
            torch.testing.assert_close(param.detach(), weights[name], rtol=0, atol=1e-14)


def test_no_decay_of_vectors():
    cfg = Config.fromfile(str(CREAM / 'retrain_cream-14m.py'))
    model = build_model(cfg)
    optim = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert type(optim).__name__ == 'RMSpropTF'
    assert len(optim.param_groups) == 2
    decay = {id(p): g['weight_decay'] for g in optim.param_groups for p in g['params']}
    names = {True: [], False: []}
    for name, param in model.named_parameters():
        names[param.ndim > 1].append(name)
        assert decay.pop(id(param)) == (1e-5 if param.ndim > 1 else 0.0), name
    assert not decay
    # Biases of convolutions and the classifier are among those without.
    assert {'head.classifier.bias', 'backbone.blocks.1.0.se.conv_reduce.bias'} <= set(names[False])
    assert all(name.endswith('weight') for name in names[True])


def test_label_smoothing_by_hand():
    cfg = Config.fromfile(str(CREAM / 'retrain_imagenet.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loss = MODELS.build(dict(cfg.model.head.loss, num_classes=5))
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 5), torch.tensor([0, 3, 3, 1])
    log_p = logits.log_softmax(dim=1)
    expected = -(0.9 * log_p[range(4), labels] + 0.1 * log_p.mean(dim=1)).mean()
    torch.testing.assert_close(loss(logits, labels), expected)
    assert (cfg.model.head.dropout, cfg.model.head.loss.label_smooth_val) == (0.2, 0.1)


# --- averaged weights ---


class States(Hook):
    """The weights after every step."""

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        state = runner.model.state_dict()
        self.seen.append({key: value.clone() for key, value in state.items()})


def test_averages_by_hand(tmp_path):
    recipe = Config.fromfile(str(CREAM / 'retrain_imagenet.py'))
    data = write_image_folder(tmp_path / 'data', train=12, val=0, size=(8, 8))
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    space = tiny_space()
    states = States()
    runner = Runner(
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='cream_mm.CreamNet',
                arch=[[0], [0, 1], [1], [0]],
                space=space.to_dict(),
                out_indices=(3,),
            ),
            head=dict(type='cream_mm.CreamClsHead', num_classes=2, in_channels=32),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        work_dir=str(tmp_path / 'run'),
        train_dataloader=dict(
            batch_size=4,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
        custom_hooks=[*recipe.custom_hooks, states],
        default_scope='mmpretrain',
        log_level='WARNING',
        experiment_name='averages',
    )
    runner.train()
    assert len(states.seen) == 6
    expected = {k: v.double() for k, v in states.seen[0].items()}  # a copy after the first step
    for n, state in enumerate(states.seen[1:], start=1):
        share = max(1e-4, 10 / (10 + n))  # warm-up, see EMAHook
        expected = {k: (1 - share) * expected[k] + share * state[k].double() for k in expected}

    saved = torch.load(tmp_path / 'run/epoch_1.pth', map_location='cpu', weights_only=False)
    averaged, trained = saved['state_dict'], saved['ema_state_dict']
    moved = 0
    for key, value in expected.items():
        assert torch.equal(trained[f'module.{key}'], states.seen[-1][key])
        if key.endswith('num_batches_tracked'):
            continue  # counted once: mmengine averages floating point only, and nothing reads it
        # Five roundings of values around 1, in single precision.
        torch.testing.assert_close(averaged[key].double(), value, rtol=4e-7, atol=1e-7)
        moved += bool((value - states.seen[0][key]).abs().max() > 1e-5)
    buffers = [key for key in expected if key.endswith(('running_mean', 'running_var'))]
    assert moved > len(expected) // 3 and buffers
    for key in buffers:
        assert not torch.equal(averaged[key], states.seen[-1][key])
