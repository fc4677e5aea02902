import copy
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_elastic_run import STEPS, elastic_cfg
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope

from cream_mm.apis.open_search import open_search
from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.loops import SupernetTrainLoop
from cream_mm.engine.stage import Stage
from cream_mm.evaluation import ArchEvaluator, Rating
from cream_mm.methods.elastic import elastic_train_loop
from cream_mm.methods.elastic.elastic_train_loop import (
    ElasticTrainLoop,
    collapsed,
    fell_apart,
    learned_nothing,
)
from cream_mm.registry import MODELS
from cream_mm.search.strategies.single_changes_search import single_changes
from cream_mm.testing import run_differences, write_image_folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def train(cfg, *hooks, resume=False):
    cfg = copy.deepcopy(cfg)
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


class Notes(Hook):
    """What every step trained, and the optimizer's state before it."""

    def __init__(self):
        self.paths, self.moments, self.taught = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.moments.append(len(runner.optim_wrapper.optimizer.state))
        self.taught.append(runner.model.teacher is not None)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.paths.append(runner.model.backbone.arch)


class Killed(Exception):
    pass


class Kill(Hook):
    """Ends the run before a step, as a kill would."""

    priority = 'VERY_HIGH'

    def __init__(self, step):
        self.step = step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            raise Killed


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """A run to its end: its config, runner, what its steps trained, the model before the 15th."""
    notes, models = Notes(), []

    class Look(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2 * STEPS:
                models.append(copy.deepcopy(runner.model))

    cfg = elastic_cfg(data, tmp_path_factory.mktemp('whole') / 'run')
    runner = train(cfg, notes, Look())
    return SimpleNamespace(
        cfg=cfg, runner=runner, notes=notes, model=models[0], folder=Path(cfg.work_dir)
    )


def test_first_the_full_network_and_then_its_slices(whole):
    notes, runner, first = whole.notes, whole.runner, 2 * STEPS
    space, sampler = runner.model.backbone.space, runner.train_loop.sampler
    assert notes.paths[:first] == [space.full_path] * first
    assert notes.paths[first:] == [sampler.sample(step) for step in range(first, 2 * first)]
    assert notes.taught == [False] * first + [True] * first
    assert notes.moments[1] > 0 and notes.moments[first - 1] > 0 and notes.moments[first] == 0
    lines = (whole.folder / 'path_log.jsonl').read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert [line['step'] for line in steps] == list(range(first, 2 * first))
    assert {'loss', 'teacher_loss'} <= steps[0].keys()
    assert json.loads((whole.folder / 'best_arch.json').read_text())['arch']


def test_the_full_network_is_a_plain_classifier_and_teaches(whole):
    content = load_checkpoint_file(whole.folder / 'full.pth')
    meta = content['meta']
    net = dict(type='cream_mm.CreamNet', arch=meta['arch'], space=meta['space'])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = whole.cfg.model.head
        plain = MODELS.build(dict(type='ImageClassifier', backbone=net, head=head))
    plain.load_state_dict(content['state_dict'])  # strictly
    assert meta['preprocess'] == dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
    assert meta['input_size'] == [8, 8]
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        taught = whole.runner.model._teacher.it(images)
        torch.testing.assert_close(taught, plain.eval()(images))
    # The slices begin as its own: the same weights, in the order in which slices take them.
    ours, theirs = whole.model.backbone, plain.backbone
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    before = [block.conv_pw.weight.clone() for block in ours.blocks[1]]
    ours.sort_channels()
    assert all(map(torch.equal, before, (block.conv_pw.weight for block in ours.blocks[1])))
    ours.sort_channels('projection')
    assert not torch.equal(before[0], ours.blocks[1][0].conv_pw.weight)


@pytest.mark.parametrize('paths', ['random', pytest.param('sandwich', marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_the_whole_one(whole, data, tmp_path, paths):
    """In the first step of the second phase, and in the middle of an epoch of it."""
    folder = whole.folder
    if paths == 'sandwich':
        folder = tmp_path / 'whole'
        train(elastic_cfg(data, folder, paths=paths))
    cfg = elastic_cfg(data, tmp_path / 'part', paths=paths)
    for step, resume in ((2 * STEPS, False), (3 * STEPS + 2, True)):
        with pytest.raises(Killed):
            train(cfg, Kill(step), resume=resume)
    train(cfg, resume=True)
    assert run_differences(tmp_path / 'part', folder, 'epoch_4.pth') == []
    files = [folder / 'full.pth', tmp_path / 'part/full.pth']
    contents = [load_checkpoint_file(file)['state_dict'] for file in files]
    assert all(torch.equal(contents[0][k], v) for k, v in contents[1].items())


def test_a_training_that_falls_apart_stops_and_the_search_goes_on(data, tmp_path):
    """Ratings of the full path as they are wished for; a kill in between changes nothing."""
    hard = [0.5 + 0.1 * i for i in range(9)]

    def rated(evaluator, arch):
        worse = 0.0 if runner_of['now'].train_loop.epoch < 3 else 1.0
        return Rating(90.0 - 50 * worse, 9, sum(hard) / 9 + worse, tuple(x + worse for x in hard))

    runner_of = {}

    class Remember(Hook):
        priority = 'VERY_HIGH'

        def before_run(self, runner):
            runner_of.update(now=runner, told=[])
            handler = logging.Handler()
            handler.emit = lambda record: runner_of['told'].append(record.getMessage())
            runner.logger.addHandler(handler)

    cfg = elastic_cfg(data, tmp_path / 'whole', full_share=0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elastic_train_loop.ArchEvaluator, 'rate', rated)
        runner = train(cfg, Remember())
        told = [line for line in runner_of['told'] if line.startswith('Training stops')]
        assert len(told) == 1
        assert 'Lower optim_wrapper.optimizer.lr or param_scheduler.0.second' in told[0]
        assert told[0].endswith('The search goes on with the weights of epoch 2')
        assert runner.train_loop.epoch == 3

        cfg.work_dir, cfg.experiment_name = str(tmp_path / 'part'), 'part'
        look = ElasticTrainLoop.look

        def killed_after_the_second(loop):
            if loop.epoch == 3:
                raise Killed
            look(loop)

        patch.setattr(ElasticTrainLoop, 'look', killed_after_the_second)
        with pytest.raises(Killed):
            train(cfg, Remember())
        patch.setattr(ElasticTrainLoop, 'look', look)
        train(cfg, Remember(), resume=True)
    kept, last = (load_checkpoint_file(tmp_path / f'whole/epoch_{n}.pth') for n in (2, 3))
    assert last['loops']['train_loop']['stopped']
    assert all(torch.equal(last['state_dict'][k], v) for k, v in kept['state_dict'].items())
    found = run_differences(tmp_path / 'part', tmp_path / 'whole', 'epoch_3.pth')
    assert found == []
    assert json.loads((tmp_path / 'whole/best_arch.json').read_text())['rating']['num_images'] == 9


def test_a_loss_that_is_not_finite_stops_as_well(data, tmp_path):
    """In the middle of the second epoch of slices."""
    cfg = elastic_cfg(data, tmp_path / 'run', full_share=0.25)
    cfg.default_hooks.finite_loss = dict(type='cream_mm.FiniteLossHook')
    told = []

    class Break(Hook):
        def before_run(self, runner):
            handler = logging.Handler()
            handler.emit = lambda record: told.append(record.getMessage())
            runner.logger.addHandler(handler)

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2 * STEPS + 3:
                runner.model.head.classifier.weight.data.fill_(float('nan'))

    runner = train(cfg, Break())
    (line,) = (line for line in told if line.startswith('Training stops'))
    assert 'the loss is not finite' in line and line.endswith('with the weights of epoch 2')
    last = load_checkpoint_file(tmp_path / 'run/epoch_2.pth')
    assert (last['meta']['epoch'], last['meta']['iter']) == (2, 2 * STEPS)
    assert torch.equal(
        last['state_dict']['head.classifier.weight'], runner.model.head.classifier.weight
    )
    assert (tmp_path / 'run/best_arch.json').is_file()


def test_what_falls_apart():
    losses = tuple(0.1 * i for i in range(100))
    start = Rating(90.0, 100, 4.95, losses)

    def now(top1, shift, noise=0.05):
        moved = [x + shift + noise * (-1) ** i for i, x in enumerate(losses)]
        return Rating(top1, 100, sum(moved) / 100, tuple(moved))

    # The standard error of the pairs is 0.05 / 10, to rounding.
    assert fell_apart(now(88.0, 0.011), start)
    assert not fell_apart(now(88.0, 0.009), start)  # may be chance
    assert not fell_apart(now(89.5, 0.5), start)  # less than a point
    assert not fell_apart(now(80.0, -0.5), start)  # it is better
    assert fell_apart(Rating(10.0, 100, float('nan'), (float('nan'),) * 100), start)

    def metric(name, value):
        return Rating(None, 60, None, metric=name, value=value, draws=(value, value + 1e-6))

    share, percent = 'coco/bbox_mAP', 'accuracy/top1'
    assert fell_apart(metric(share, 0.68), metric(share, 0.70))
    assert not fell_apart(metric(share, 0.695), metric(share, 0.70))
    assert not fell_apart(metric(percent, 69.5), metric(percent, 70.0))
    assert collapsed(now(44.9, 1.0), start) and not collapsed(now(45.1, 1.0), start)
    assert collapsed(metric(share, 0.34), metric(share, 0.70))
    assert not collapsed(metric(share, 0.36), metric(share, 0.70))


def test_what_has_learned_nothing():
    """Of 84 images the largest class has 42 %: two standard errors are 15.1 points at 40 %."""
    assert learned_nothing(Rating(40.5, 84, 1.49, ()), 41.7, 1.31)
    assert learned_nothing(Rating(8.0, 84, float('nan'), ()), 41.7, 1.31)
    assert not learned_nothing(Rating(40.5, 84, 1.25, ()), 41.7, 1.31)  # it knows something
    assert learned_nothing(Rating(56.0, 84, 1.49, ()), 41.7, 1.31)
    assert not learned_nothing(Rating(58.0, 84, 1.49, ()), 41.7, 1.31)  # too sure of itself
    assert not learned_nothing(
        Rating(None, 60, None, metric='coco/bbox_mAP', value=0.0), None, None
    )


@pytest.mark.parametrize(
    ('tops', 'full_epochs', 'stops', 'stopped_after', 'good'),
    [
        ((90, 86, 91, 86, 86), 2, True, 4, 2),  # of four epochs two in a row have to be bad
        ((90, 86, 92, 86, 92), 2, True, None, 4),
        ((90, 50, 92, 60, 70), 2, False, None, 4),
        ((90, 86, 60, 46, 44), 0, True, 4, 3),  # the network may know the held-out images
        ((90, 86, 86, 86, 91, 86, 86, 86, 86), 2, True, 8, 4),
        ((90, 91, 44, 92, 92, 92, 92, 92, 92), 2, True, 2, 1),  # one very bad
    ],
)
def test_when_a_training_stops(tops, full_epochs, stops, stopped_after, good, caplog):
    """Looks after each epoch, by their top-1; the loss follows it."""
    caplog.set_level('INFO', 'looks')

    def rating(top1):
        losses = tuple((100 - top1) / 10 + 0.1 * i for i in range(9))
        return Rating(top1, 9, sum(losses) / 9, losses)

    loop = object.__new__(ElasticTrainLoop)
    logger = logging.getLogger('looks')
    model = torch.nn.Linear(1, 1, bias=False)
    loop.__dict__.update(
        start=rating(tops[0]), stops=stops, full_epochs=full_epochs, _fallen=0,
        _max_epochs=full_epochs + len(tops) - 1, _stopped=False, model=model,
        supernet=SimpleNamespace(space=SimpleNamespace(full_path=0)),
        _runner=SimpleNamespace(hooks=[], logger=logger), _good_epoch=0, stop_training=False,
    )  # fmt: skip
    loop._good = {'weight': torch.zeros(1, 1)}
    for epoch, top1 in enumerate(tops[1:], 1):
        loop._epoch = full_epochs + epoch
        loop._evaluator = SimpleNamespace(rate=lambda arch, top1=top1: rating(top1))
        model.weight.data.fill_(epoch)
        loop.look()
        if loop._stopped:
            break
    assert (epoch if loop._stopped else None) == stopped_after
    assert model.weight.item() == good
    assert ('The full network ends at' in caplog.text) == (not stops)


@pytest.mark.parametrize(
    ('loss', 'top1', 'is_kept'),
    [(0.9, 90.0, True), (0.9, 89.0, True), (0.9, 88.0, False), (0.999, 90.0, False),
     (1.1, 90.0, False)],
)  # fmt: skip
def test_the_better_full_network_teaches_what_is_exported(whole, tmp_path, loss, top1, is_kept):
    """Better beyond chance by its losses, and its top-1 not a point worse; then full.pth is the
    full path, its batch norm fitted."""
    cfg = copy.deepcopy(whole.cfg)
    cfg.work_dir = str(tmp_path)
    shutil.copy(whole.folder / 'full.pth', tmp_path)
    runner = Runner.from_cfg(cfg)
    loop, model = runner.train_loop, runner.model
    noise = [0.01 * (-1) ** i for i in range(100)]
    rated = [tuple(value + x for x in noise[::sign]) for value, sign in ((1.0, 1), (loss, -1))]
    loop.start, now = (
        Rating(quality, 100, sum(losses) / 100, losses)
        for quality, losses in zip((90.0, top1), rated, strict=True)
    )
    evaluator = loop._build_evaluator()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, 'rate', lambda arch: now)
        loop.keep_better_full()
    states = [
        load_checkpoint_file(folder / 'full.pth')['state_dict']
        for folder in (whole.folder, tmp_path)
    ]
    if is_kept:
        with evaluator.fitted(loop.full_path):
            states[0] = copy.deepcopy(model.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(map(torch.equal, *(state.values() for state in states)))


def test_a_network_of_ones_own_is_not_trained_again(whole, data, tmp_path):
    """full_share=0: the weights of load_from are the teacher's, batch norm included."""
    cfg = elastic_cfg(data, tmp_path / 'run', full_share=0, max_epochs=1)
    cfg.load_from = str(whole.folder / 'full.pth')
    notes = Notes()
    runner = train(cfg, notes)
    assert all(notes.taught) and len(notes.taught) == STEPS
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():  # of channels in another order
        logits = [run.model._teacher.it(images) for run in (whole.runner, runner)]
    torch.testing.assert_close(*logits)
    assert runner.train_loop.full_epochs == 0
    # A single epoch cannot be two phases: what max_minutes chooses at least.
    assert (runner.train_loop.least_epochs, whole.runner.train_loop.least_epochs) == (1, 2)


def test_slices_of_a_network_whose_slices_were_not_trained(data, tmp_path):
    """full_share=1, killed among the ratings; full.pth, searched alone, is the same supernet."""
    cfg = elastic_cfg(data, tmp_path / 'run', full_share=1, max_epochs=1)
    cfg.model.backbone.update(budget=dict(macs_m=(None, 0.2)), expansions=(6, 2), kernels=(3,))
    cfg.test_cfg.update(strategy=dict(type='single_changes'), num=12, num_random=0)
    with pytest.raises(ValueError, match=r'its 11 single changes .*num=12 .* to 36 or more'):
        _ = Runner.from_cfg(cfg).test_loop
    cfg.test_cfg.num = 14
    rate_all, rated = ArchEvaluator.rate_all, []

    def killed_among_the_ratings(evaluator, archs, tell):
        rated.append(len(rated))
        if len(rated) == 2:
            raise Killed
        return rate_all(evaluator, archs, tell)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArchEvaluator, 'rate_all', killed_among_the_ratings)
        with pytest.raises(Killed):
            train(cfg)
    runner = train(cfg, resume=True)
    space, last = runner.model.backbone.space, load_checkpoint_file(tmp_path / 'run/epoch_1.pth')
    weights = runner.model.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in last['state_dict'].items())
    cfg.dump(tmp_path / 'search.py')
    files = [str(tmp_path / name) for name in ('search.py', 'run/full.pth', 'again')]
    with open_search(*files, None, dict(strategy=dict(type='single_changes'), num=14)) as loop:
        loop.run()
    found = [json.loads((tmp_path / n / 'search.json').read_text()) for n in ('run', 'again')]
    assert found[0]['rated'] == found[1]['rated']
    archs = [space.parse(row['arch']) for row in found[0]['rated']]
    assert archs[:12] == [space.full_path, *single_changes(space).values()]
    best = space.parse(found[0]['best']['arch'])
    assert runner.model.backbone.budget.is_feasible(best)
    assert (tmp_path / 'run/path_log.jsonl').exists() is False


def test_what_is_wrong_is_told(whole, data, tmp_path):
    cfg = elastic_cfg(data, tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    for key, value, match in (
        ('paths', 'both', 'paths is one of'),
        ('num_paths', 0, 'num_paths is a number from 1'),
        ('full_share', 1.1, 'full_share is a share of all epochs'),
    ):
        with pytest.raises(ValueError, match=match):
            runner.build_train_loop({**cfg.train_cfg, key: value})
    cfg.model.backbone = dict(
        type='cream_mm.CreamSupernet', space=cfg.model.backbone.space, out_indices=(3,),
        costs=dict(input_size=8, num_classes=3, head_channels=16),
    )  # fmt: skip
    with pytest.raises(ValueError, match='a CreamSupernet has none'):
        Runner.from_cfg(cfg).build_train_loop(cfg.train_cfg)
    cfg = elastic_cfg(data, tmp_path / 'other', full_share=0.25)
    shutil.copytree(whole.folder, tmp_path / 'other')
    with pytest.raises(ValueError, match=r'trained for 2 epochs; .*make it 1\. Set them as they'):
        train(cfg, resume=True)
    cfg.train_cfg.full_share = 0.5
    (tmp_path / 'other/full.pth').unlink()
    with pytest.raises(FileNotFoundError, match='Resume from the checkpoint of epoch 2 or before'):
        train(cfg, resume=True)


def test_the_sandwich(data, tmp_path):
    """Gradients of full, cheapest and random paths, the latter taught by the full one's outputs."""
    cfg = elastic_cfg(data, tmp_path / 'run', paths='sandwich', num_paths=2)
    cfg.model.head.dropout = 0.0
    runner = Runner.from_cfg(cfg)
    loop, model = runner.train_loop, runner.model.train()
    model.init_weights()
    archs = loop.sandwich(step=20)
    assert archs[0] == loop.full_path and archs[3] == loop.sampler.sample(20)
    assert archs[1] == model.backbone.space.smallest_path and len(set(archs)) == 4
    data = next(iter(loop.dataloader))
    by_hand = copy.deepcopy(model)
    batch = by_hand.data_preprocessor(data, True)
    by_hand.backbone.set_arch(archs[0])
    with by_hand.taught_by(None):
        total = by_hand.loss(**batch)['loss']
    logits = by_hand.logits
    for arch in archs[1:]:
        by_hand.backbone.set_arch(arch)
        with by_hand.taught_by(logits):
            losses = by_hand.loss(**batch)
        total = total + losses['loss_cls'] + losses['loss_kd']
    (total / 4).backward()
    grads = {}
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)

    def step():
        grads.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    runner.optim_wrapper.step = step
    elastic_train_loop.sandwich_step(runner, archs, data)
    for name, param in by_hand.named_parameters():
        torch.testing.assert_close(grads[name], param.grad, rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match='leave accumulative_counts out'):
        wrapper = SimpleNamespace(_accumulative_counts=2)
        elastic_train_loop.sandwich_step(
            SimpleNamespace(model=model, optim_wrapper=wrapper), archs, data
        )


def test_looks_at_the_full_network_go_with_the_epochs(monkeypatch):
    """So that a run of a few epochs is not told the looks of thirty."""
    monkeypatch.setattr(SupernetTrainLoop, 'stages', lambda *_: [Stage('rating', 'paths', 60, 2.0)])
    loop = type('Loop', (ElasticTrainLoop,), dict(__init__=lambda self: None, max_epochs=30))()
    loop.full_epochs = 10
    looks, rating = loop.stages(None)
    assert looks.grows and looks.seconds == 42 and not rating.grows
