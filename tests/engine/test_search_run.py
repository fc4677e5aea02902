"""Loops and hooks together, in a real Runner around the tiny supernet."""

import itertools
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from cream_mm.evaluation import ArchEvaluator, Rating
from cream_mm.methods.cream.compat import Compat
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.search import training_effects
from cream_mm.testing import tiny_space, write_image_folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def build(
    data, work_dir, *, max_epochs=3, warmup=0.3, interval=2, board=True, budget=None, **kwargs
):
    """A search of 9 images a class (3 held out), 7 steps an epoch."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    space = tiny_space()
    model = dict(
        type='cream_mm.Cream',
        input_size=8,
        budget=budget,
        backbone=dict(type='cream_mm.CreamSupernet', space=space.to_dict(), out_indices=(3,)),
        head=dict(type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16),
        board=dict(capacity=3, num_images=2) if board else None,
        matching=dict(type='cream_mm.MetaMatching') if board else None,
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    )
    hooks = [dict(type='cream_mm.BoardHook', warmup=warmup)]
    if board:
        hooks.append(
            dict(
                type='cream_mm.MetaMatchingHook', dataset=held_out, interval=interval, num_images=2,
                optimizer=dict(type='SGD', lr=1.0),
            )
        )  # fmt: skip
    cfg = dict(
        default_scope='mmpretrain',
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=4, num_workers=0, dataset=train,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        test_dataloader=dict(
            batch_size=8, num_workers=0, dataset=held_out,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=max_epochs),
        test_cfg=dict(
            type='cream_mm.BoardRatingLoop', bn_dataset=train, num_random=4, num_bn_images=16
        ),
        test_evaluator=[],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        custom_hooks=hooks,
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}-{max_epochs}',
        **kwargs,
    )  # fmt: skip
    return Runner.from_cfg(Config(cfg))


def test_a_search_ends_with_its_answer(data, tmp_path):
    runner = build(data, tmp_path / 'run')
    before = runner.model.matching.fc.weight.clone()
    runner.train()
    model = runner.model
    assert len(model.board) == 3
    assert not torch.equal(model.matching.fc.weight, before)  # meta steps took place

    best = json.loads((tmp_path / 'run/best_arch.json').read_text())
    board = json.loads((tmp_path / 'run/board.json').read_text())
    assert [e['arch'] for e in board['entries']] == [e.arch.to_list() for e in model.board.entries]
    sources = [r['source'] for r in board['rated']]
    assert sources[:7] == ['board'] * 3 + ['random'] * 4
    assert set(sources[7:]) <= {'reference'}  # the cheapest and the costliest, unless there before
    archs = [str(r['arch']) for r in board['rated']]
    assert len(set(archs)) == len(archs)
    rated = {str(r['arch']): r for r in board['rated'][:3]}
    chosen = rated[str(best['arch'])]
    assert chosen['loss'] == min(r['loss'] for r in rated.values()) == best['rating']['loss']
    assert best['choice']['rule'] == 'board'
    assert (
        'there is no path_log.jsonl, which dict(type=' in best['choice']['notes'][0]
    )  # why not effects
    assert 'losses' not in best['rating']
    assert best['seed'] == 3 and best['rating']['num_images'] == 9
    arch, space, _ = resolve_arch(str(tmp_path / 'run/best_arch.json'))
    assert space == tiny_space() and arch.to_list() == best['arch']


def write_path_log(runner, weights, noise, number=400):
    """As if the paths of so many steps had had losses that add up, and noise."""
    space, rng = runner.model.backbone.space, np.random.default_rng(0)
    rows = []
    for step in range(number):
        arch = space.sample(rng)
        loss = 2 - sum(weights[i, c] for i, c in enumerate(space.encode(arch)))
        loss += rng.normal(scale=noise)
        rows.append(json.dumps(dict(step=step, arch=arch.to_list(), loss=loss)))
    (Path(runner.work_dir) / 'path_log.jsonl').write_text('\n'.join(rows) + '\n')


class Answers:
    """Ratings as they are wished for, image by image; everything else is the real loop."""

    def __init__(self, monkeypatch, worse=()):
        self.worse = set(worse)
        monkeypatch.setattr(ArchEvaluator, '_rate_in_order', self.rate)

    def rate(self, archs):
        hard = np.random.default_rng(1).gamma(2.0, size=9).round(4)
        for arch in archs:
            losses = (hard + 0.5 * (arch in self.worse)).tolist()
            yield Rating(90.0, 9, float(np.mean(losses)), tuple(losses))


def test_the_answer_has_the_best_training_effects(data, tmp_path, monkeypatch):
    runner = build(data, tmp_path / 'run', budget=dict(macs_m=(0, 0.36)))
    runner.train()
    space, budget = runner.model.backbone.space, runner.model.budget
    weights = np.random.default_rng(7).normal(size=(space.num_layers, len(space.choices)))
    write_path_log(runner, weights, noise=0.3)
    archs = [
        space.decode(flat)
        for flat in itertools.product(range(len(space.choices)), repeat=space.num_layers)
    ]
    archs = [arch for arch in archs if budget.is_feasible(arch)]

    def answer():
        runner.test_loop.run()
        best = json.loads((tmp_path / 'run/best_arch.json').read_text())
        (tmp_path / 'run/ratings.jsonl').unlink()
        return best

    best = answer()  # only the log of the steps that were made counts
    assert best['choice']['rule'] == 'board'
    assert 'has 14 steps to learn from, too few for' in best['choice']['notes'][0]
    monkeypatch.setattr(type(runner), 'iter', 400)
    effects = training_effects(tmp_path / 'run/path_log.jsonl', space)
    order = sorted(archs, key=lambda arch: -effects.predict([arch])[0])
    ratings = Answers(monkeypatch)
    best = answer()
    assert best['arch'] == order[0].to_list()
    assert best['choice']['rule'] == 'effects'
    rated = json.loads((tmp_path / 'run/board.json').read_text())['rated']
    finalists = [r['arch'] for r in rated[:11]]
    assert finalists == [arch.to_list() for arch in order[:11]]

    ratings.worse = set(order[:2])
    best = answer()
    assert best['arch'] == order[2].to_list()
    assert 'Ratings vetoed the 2 best paths' in best['choice']['notes'][0]
    ratings.worse = set(order[1:])  # the best-rated, but nobody is asked
    assert answer()['arch'] == order[0].to_list()

    # Losses that tell nothing: the old rule, and why.
    write_path_log(runner, 0 * weights, noise=0.3)
    best = answer()
    assert best['choice']['rule'] == 'board'
    told = best['choice']['notes'][0]
    assert told.startswith('The answer is chosen by ratings alone: the losses of the training')
    # So in the modes that keep to the released code, whatever the log says.
    write_path_log(runner, weights, noise=0.3)
    runner.model.compat = Compat.build('paper')
    best = answer()
    assert best['choice']['rule'] == 'board'
    assert best['arch'] in [e.arch.to_list() for e in runner.model.board.entries]


def test_the_board_opens_after_the_warmup(data, tmp_path):
    lengths = []
    runner = build(data, tmp_path / 'run', max_epochs=2, warmup=0.5)
    offer = runner.model.board.offer

    def counting(*args):
        lengths.append(runner.iter)
        return offer(*args)

    runner.model.board.offer = counting
    runner.train()
    # 14 steps; the last batch of an epoch (3 of 27 images) is too small to be offered.
    assert lengths == [7, 8, 9, 10, 11, 12]


def test_the_same_run_twice_is_the_same(data, tmp_path):
    states = []
    for name in ('a', 'b'):
        runner = build(data, tmp_path / name)
        runner.train()
        states.append(runner.model.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.slow
def test_a_resumed_run_has_its_board_and_meets_the_whole_one(data, tmp_path):
    whole = build(data, tmp_path / 'whole')
    whole.train()
    part = build(data, tmp_path / 'part')
    part.train_loop._max_epochs = 2  # killed after two of three epochs, schedule unchanged
    part.train()
    entries = part.model.board.entries
    assert entries

    resumed = build(data, tmp_path / 'part', resume=True)
    seen = []

    class Look(Hook):
        def before_train_epoch(self, runner):
            seen.append((runner.epoch, list(runner.model.board.entries)))

    resumed.register_hook(Look())
    resumed.train()
    assert seen == [(2, entries)]
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_no_board_is_plain_single_path_training(data, tmp_path, caplog):
    runner = build(data, tmp_path / 'run', board=False, max_epochs=1)
    runner.train()
    best = json.loads((tmp_path / 'run/best_arch.json').read_text())
    assert best['rating']['num_images'] == 9


def test_an_empty_board_is_told(data, tmp_path):
    messages = []
    runner = build(data, tmp_path / 'run', max_epochs=1, warmup=0.99)
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    assert any('the board is empty' in message for message in messages)
    assert (tmp_path / 'run/best_arch.json').is_file()


def test_no_path_of_the_board_within_budget(data, tmp_path):
    """The answer is then the best of the random paths, and that is told."""
    messages = []
    runner = build(data, tmp_path / 'run', max_epochs=2)
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    model = runner.model
    macs = [model.cost_model.cost(entry.arch).macs / 1e6 for entry in model.board.entries]
    ends = [end['macs_m'] for end in model.cost_model.extremes()]
    above, below = (max(macs) + 1e-6, ends[1]), (ends[0], min(macs) - 1e-6)
    limits = max(above, below, key=lambda bounds: bounds[1] - bounds[0])
    model.backbone.set_costs(model.costs, dict(macs_m=limits))
    runner.test_loop.run()
    assert any('no path of the board has macs_m in' in message for message in messages)
    best = json.loads((tmp_path / 'run/best_arch.json').read_text())
    rated = json.loads((tmp_path / 'run/board.json').read_text())['rated']
    assert limits[0] <= best['costs']['macs_m'] <= limits[1]
    assert rated and {path['source'] for path in rated} == {'random'}


def test_hook_needs_a_matching_network(data, tmp_path):
    runner = build(data, tmp_path / 'run')
    runner.model.matching = None
    with pytest.raises(ValueError, match='matching=dict'):
        runner.train()
