"""The options of Compat that act in loops and hooks: real Runners around the tiny supernet."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner

from cream_mm.config.load import load_config
from cream_mm.engine.loops.supernet_train_loop import build_sampler
from cream_mm.methods.cream import meta_matching_hook
from cream_mm.methods.cream.compat import Compat
from cream_mm.registry import DATASETS, MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_space, write_image_folder

CONFIGS = Path(__file__).parents[3] / 'configs/cream'
MODES = ('official', 'paper', 'fixed')
CHEAP = Arch(((0, 0), (0, 0)))
DEAR = Arch(((1, 1), (1, 1)))
LR, MOMENTUM, DECAY = 0.05, 0.9, 0.01


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def folder_of(data, part):
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    return dict(
        type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25,
        part=part, serialize_data=False,
    )  # fmt: skip


def build(data, work_dir, compat, *, max_epochs=2, warmup=0.2, budget=None, held_out=True,
          batch_size=4, interval=3, num_images=2, checkpoint=False, **kwargs):  # fmt: skip
    """A search of 9 images a class (3 held out), 7 steps an epoch; the last has 3 images."""
    train, holdout = folder_of(data, 'train'), folder_of(data, 'holdout')
    meta = dict(
        type='cream_mm.MetaMatchingHook', interval=interval, num_images=num_images,
        optimizer=dict(type='SGD', lr=1.0),  # of virtual steps
    )  # fmt: skip
    if held_out:
        meta['dataset'] = holdout
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(
            type='cream_mm.Cream',
            compat=compat,
            input_size=8,
            budget=budget,
            backbone=dict(
                type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), out_indices=(3,)
            ),
            head=dict(
                type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16
            ),
            board=dict(capacity=3, num_images=2),
            matching=dict(type='cream_mm.MetaMatching'),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0, dataset=train,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        test_dataloader=dict(
            batch_size=9, num_workers=0, dataset=holdout,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=max_epochs),
        test_cfg=dict(
            type='cream_mm.BoardRatingLoop', bn_dataset=train, num_random=2, num_bn_images=9
        ),
        test_evaluator=[],
        optim_wrapper=dict(
            constructor='cream_mm.MergedGroupsConstructor',
            optimizer=dict(
                type='SGD', lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
            ),
            paramwise_cfg=dict(custom_keys={'matching': dict(lr_mult=1e-4, decay_mult=0.0)}),
        ),
        custom_hooks=[dict(type='cream_mm.BoardHook', warmup=warmup), meta],
        default_hooks={} if checkpoint else dict(checkpoint=None),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}-{max_epochs}',
        **kwargs,
    )  # fmt: skip
    return Runner.from_cfg(Config(cfg))


class Spy(Hook):
    """Sees each batch before the hooks of the search do."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.batches = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches[runner.iter] = data_batch


def spied(runner, monkeypatch):
    """The batches by iteration, and kind and images of each meta step; none is made."""
    spy, calls = Spy(), {}
    runner.register_hook(spy)

    def real_meta_step(model, optimizer, *images, max_norm):
        assert optimizer is runner.optim_wrapper.optimizer and max_norm == 1.0
        calls[runner.iter] = ('real', *images)
        return torch.zeros(())

    def meta_gradient(model, *images, step_size):
        names = [n for n, _ in model.named_parameters() if not n.startswith('matching.')]
        assert [step_size[name] for name in names] == pytest.approx([LR] * len(names))
        calls[runner.iter] = ('virtual', *images)
        return [torch.zeros_like(p) for p in model.matching.parameters()], torch.zeros(())

    monkeypatch.setattr(meta_matching_hook, 'real_meta_step', real_meta_step)
    monkeypatch.setattr(meta_matching_hook, 'meta_gradient', meta_gradient)
    return spy.batches, calls


def normalised(images):
    return torch.stack([(image.flip(0).float() - 127.5) / 127.5 for image in images])


def labels(samples):
    return [int(sample.gt_label) for sample in samples]


# --- sampling and budget ---


def prepared_sampler(model, cfg=None):
    """The sampler as the training loop has it."""
    loop = SimpleNamespace(sampler=build_sampler(cfg, model.budget, seed=0), zero_grad='none')
    model.prepare_search(loop)
    return loop.sampler


@pytest.mark.parametrize('mode', MODES)
def test_probabilities_of_choices(mode):
    model = tiny_cream(compat=mode)
    sampler = prepared_sampler(model, dict(op_prob=(0.0, 1.0)))
    drawn = [c for step in range(100) for stage in sampler.sample(step).stages for c in stage]
    if mode == 'official':  # binomial: 400 draws, standard deviation 10
        assert 150 < sum(drawn) < 250
    else:
        assert set(drawn) == {1}


@pytest.mark.parametrize('mode', MODES)
def test_the_budget_while_training(mode):
    model = tiny_cream(compat=mode, budget=dict(macs_m=(None, 0.33)))
    sampler = prepared_sampler(model)
    costs = [model.cost_model.cost(sampler.sample(step)).macs for step in range(50)]
    assert min(costs) <= 330_000
    assert (max(costs) > 330_000) is (mode != 'fixed')
    images, soft = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3)
    assert model.board.offer(DEAR, 1.0, images, soft) is (mode != 'fixed')
    assert model.board.offer(CHEAP, 1.0, images, soft)


@pytest.mark.parametrize('mode', ['official', 'fixed'])
def test_the_answer_obeys_the_budget(data, tmp_path, mode):
    """Training alternates between a path that is too dear and one that is not."""
    runner = build(data, tmp_path / 'run', mode, max_epochs=1, budget=dict(macs_m=(None, 0.33)))
    runner.train_loop.sampler = SimpleNamespace(sample=lambda step: (DEAR, CHEAP)[step % 2])
    runner.train()
    on_board = {entry.arch for entry in runner.model.board.entries}
    assert on_board == ({DEAR, CHEAP} if mode == 'official' else {CHEAP})
    best = json.loads((tmp_path / 'run/best_arch.json').read_text())
    rated = json.loads((tmp_path / 'run/board.json').read_text())['rated']
    assert best['arch'] == CHEAP.to_list()
    assert best['budget'] == {'macs_m': [None, 0.33]}
    assert [r['arch'] for r in rated if r['source'] == 'board'] == [CHEAP.to_list()]  # once
    assert [r['source'] for r in rated].count('random') == 2
    assert all(r['macs_m'] <= 0.33 for r in rated)


# --- images and count of the meta steps ---


@pytest.mark.parametrize('mode', MODES)
def test_images_of_a_meta_step(data, tmp_path, monkeypatch, mode):
    runner = build(data, tmp_path / 'run', mode, max_epochs=1, warmup=0)
    batches, calls = spied(runner, monkeypatch)
    runner.train()
    held_out = DATASETS.build(folder_of(data, 'holdout'))
    held_out = [held_out[i] for i in range(len(held_out))]
    pictures = normalised([item['inputs'] for item in held_out])
    assert 3 in calls
    for step, (kind, train_inputs, val_inputs, val_samples) in calls.items():
        assert kind == ('real' if mode == 'official' else 'virtual')
        batch = batches[step]
        assert torch.equal(train_inputs, normalised(batch['inputs'][:2]))
        if mode == 'fixed':
            for image, sample in zip(val_inputs, val_samples, strict=True):
                found = [i for i, picture in enumerate(pictures) if torch.equal(image, picture)]
                assert labels([held_out[found[0]]['data_samples']]) == labels([sample])
        else:
            assert torch.equal(val_inputs, normalised(batch['inputs'][2:4]))
            assert labels(val_samples) == labels(batch['data_samples'][2:4])


def test_held_out_images_are_drawn_anew(data, tmp_path, monkeypatch):
    runner = build(data, tmp_path / 'run', 'fixed', warmup=0)
    _, calls = spied(runner, monkeypatch)
    runner.train()
    drawn = [str(val_inputs.tolist()) for *_, val_inputs, _ in calls.values()]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(
    ('count', 'num_images', 'steps'),
    [
        ('epoch', 1, [3, 6, 10, 13]),  # the third and sixth of 7, from 0, in each epoch
        ('run', 1, [3, 6, 9, 12]),
        ('epoch', 2, [3, 10]),  # the sixth has 3 images, too few for two sides of 2
        ('run', 2, [3, 9, 12]),
    ],
)
def test_iterations_with_a_meta_step(data, tmp_path, monkeypatch, count, num_images, steps):
    compat = dict(mode='official', meta_count=count)
    runner = build(data, tmp_path / 'run', compat, warmup=0, num_images=num_images)
    _, calls = spied(runner, monkeypatch)
    runner.test_loop.run = lambda: None
    runner.train()
    assert list(calls) == steps


def test_no_meta_step_before_the_board_opens(data, tmp_path, monkeypatch):
    runner = build(data, tmp_path / 'run', 'official', warmup=0.5, num_images=1)
    _, calls = spied(runner, monkeypatch)
    runner.train()
    assert list(calls) == [10, 13]  # opens after step 7, the first of the second epoch


@pytest.mark.parametrize('mode', ['official', 'paper'])
def test_a_batch_too_small_for_both_sides(data, tmp_path, mode):
    runner = build(data, tmp_path / 'run', mode, batch_size=3)
    with pytest.raises(ValueError, match='takes 4 images of a training batch, which has 3;'):
        runner.train()


def test_held_out_images_are_asked_for(data, tmp_path):
    runner = build(data, tmp_path / 'run', 'fixed', held_out=False)
    with pytest.raises(ValueError, match=r'needs dataset=dict\(\.\.\.\), the held-out images'):
        runner.train()


def test_a_shared_group_is_told(data, tmp_path):
    runner = build(data, tmp_path / 'run', 'official')
    runner.cfg.optim_wrapper.pop('paramwise_cfg')
    runner.optim_wrapper = runner.cfg.optim_wrapper
    with pytest.raises(ValueError, match="custom_keys={'matching'"):
        runner.train()


# --- paths that are not sampled ---


@pytest.mark.parametrize('unsampled', ['decayed', 'still'])
def test_unsampled_paths(data, tmp_path, unsampled):
    """Three steps of one path, then four of another that shares no searchable block with it."""
    first, then = Arch(((0, 0), (0, 0))), Arch(((1, 1), (1, 0)))  # but the last: in both
    compat = dict(mode='official', unsampled=unsampled)
    runner = build(data, tmp_path / 'run', compat, max_epochs=1, warmup=0.99)
    runner.train_loop.sampler = SimpleNamespace(sample=lambda step: first if step < 3 else then)
    params, left, start = dict(runner.model.named_parameters()), {}, {}
    left_alone = [
        k for k in params if k.startswith(('backbone.blocks.1.0.0', 'backbone.blocks.2.0.0'))
    ]
    never = [k for k in params if k.startswith('backbone.blocks.2.1.1')]
    assert left_alone and never

    class Look(Hook):
        def before_train(self, runner):
            start.update({k: params[k].detach().clone() for k in left_alone + never})

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx == 2:
                state = runner.optim_wrapper.optimizer.state
                for k in left_alone:
                    buffer = state[params[k]]['momentum_buffer'].clone()
                    left[k] = params[k].detach().clone(), buffer

    runner.register_hook(Look())
    runner.train()
    most = 0.0
    for k in left_alone:
        weight, buffer = left[k]
        assert not torch.equal(weight, start[k])
        if unsampled == 'still':
            assert torch.equal(params[k], weight), k
            continue
        moved = weight.double()
        buffer = buffer.double()
        for _ in range(4):  # gradient 0: weight decay alone, through Nesterov momentum
            grad = DECAY * moved
            buffer = MOMENTUM * buffer + grad
            moved = moved - LR * (grad + MOMENTUM * buffer)
        torch.testing.assert_close(params[k].double(), moved, rtol=1e-5, atol=1e-7, msg=k)
        most = max(most, float((params[k] - weight).abs().max()))
    assert (most > 1e-3) is (unsampled == 'decayed')
    assert all(torch.equal(params[k], start[k]) for k in never)


# --- whole searches ---


def searched(data, work_dir, mode, **kwargs):
    runner = build(data, work_dir, mode, **kwargs)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """A finished search of each mode, made once."""
    folder = tmp_path_factory.mktemp('whole')
    runs = {}

    def get(mode):
        if mode not in runs:
            runs[mode] = searched(data, folder / mode, mode)
        return runs[mode]

    return get


@pytest.mark.parametrize('mode', MODES)
def test_a_search_in_each_mode(data, tmp_path, whole, mode):
    runner = whole(mode)
    best = json.loads((Path(runner.work_dir) / 'best_arch.json').read_text())
    assert best['compat'] == Compat.build(mode).to_dict()
    assert best['compat']['mode'] == mode
    assert len(runner.model.board) == 3
    again = searched(data, tmp_path / 'again', mode)
    ours, theirs = runner.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert best == dict(
        json.loads((tmp_path / 'again/best_arch.json').read_text()), config=best['config']
    )


@pytest.mark.parametrize('mode', MODES)
def test_what_trains_the_matching_network(data, tmp_path, whole, monkeypatch, mode):
    """In official also the main loss; in the other modes the meta steps alone."""
    after = whole(mode).model.matching.fc.weight
    runner = build(data, tmp_path / 'run', mode)
    spied(runner, monkeypatch)  # no meta step
    start = {}

    class Look(Hook):
        def before_train(self, runner):
            start['fc'] = runner.model.matching.fc.weight.detach().clone()

    runner.register_hook(Look())
    runner.train()
    assert torch.equal(runner.model.matching.fc.weight, start['fc']) is (mode != 'official')
    assert not torch.equal(runner.model.matching.fc.weight, after)


@pytest.mark.parametrize('mode', MODES)
def test_a_resumed_search_meets_the_whole_one(data, tmp_path, whole, mode):
    part = build(data, tmp_path / 'part', mode, checkpoint=True)
    part.train_loop._max_epochs = 1  # killed after one of two epochs
    part.train()
    assert len(part.model.board)
    resumed = searched(data, tmp_path / 'part', mode, resume=True)
    assert resumed.iter == 14
    ours, theirs = resumed.model.state_dict(), whole(mode).model.state_dict()
    differ = [k for k in theirs if not torch.equal(ours[k], theirs[k])]
    assert not differ


# --- the real configs ---


def test_official_config():
    cfg = load_config(str(CONFIGS / 'search_imagenet_official.py'), check_data=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    assert model.compat == Compat.build('official')
    assert model.path_budget.to_dict() == {} != model.budget.to_dict()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert optimizer.defaults['momentum'] == 0.9 and optimizer.defaults['nesterov']
    of = {id(p): group for group in optimizer.param_groups for p in group['params']}
    assert len(of) == len(list(model.parameters()))
    matching = [of[id(p)] for p in model.matching.parameters()]
    assert len({id(group) for group in matching}) == 1
    assert len(matching[0]['params']) == 2
    assert (matching[0]['lr'], matching[0]['weight_decay']) == (pytest.approx(1e-4), 0.0)
    for name, param in model.named_parameters():
        if not name.startswith('matching.'):
            group = of[id(param)]
            decay = 0.0 if param.dim() == 1 or name.endswith('.bias') else 1e-4
            assert (group['lr'], group['weight_decay']) == (1.0, decay), name

    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0], optimizer=optimizer))
    for step in range(4):  # lr - t / 150,000, in each group from its own rate
        assert optimizer.param_groups[0]['lr'] == pytest.approx(1 - step / 150_000, rel=1e-9)
        assert matching[0]['lr'] == pytest.approx(1e-4 * (1 - step / 150_000), rel=1e-9)
        scheduler.step()
    assert cfg.param_scheduler[0].end == 150_001

    hook = cfg.custom_hooks[1]
    assert (hook.interval, hook.num_images) == (200, 4) and 'dataset' not in hook
    assert cfg.custom_hooks[0].warmup * 120 == pytest.approx(21)
    loader = cfg.train_dataloader
    assert loader.dataset.part == 'all' and loader.drop_last and loader.batch_size == 128


def test_paper_config():
    cfg = load_config(str(CONFIGS / 'search_imagenet_paper.py'), check_data=False)
    assert Compat.build(cfg.model.compat) == Compat.build('paper')
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.custom_hooks[1].optimizer.lr == 1e-2 and 'dataset' not in cfg.custom_hooks[1]
    assert cfg.train_cfg.sampler.op_prob == (0.05, 0.2, 0.05, 0.5, 0.05, 0.15)
    assert cfg.train_dataloader.dataset.part == 'all'


@pytest.mark.parametrize('compat', ['official', dict(mode='official', rate='best')], ids=str)
def test_an_option_in_a_config_of_ones_own(tmp_path, compat):
    """As the docstring of Compat writes it, in a config that builds on the shipped one."""
    child = tmp_path / 'child.py'
    child.write_text(f'_base_ = {str(CONFIGS / "search_imagenet.py")!r}\n'
                     f'model = dict(compat={compat!r})\n')  # fmt: skip
    cfg = load_config(str(child), check_data=False)
    assert Compat.build(cfg.model.compat) == Compat.build(compat)


def test_an_option_on_the_command_line():
    options = {'model.compat.rate': 'last'}
    cfg = load_config(str(CONFIGS / 'search_imagenet.py'), options, check_data=False)
    assert Compat.build(cfg.model.compat) == Compat.build(dict(rate='last'))
