"""Ask, rate, tell and answer around a plain classifier, at the end of a training and inside one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from cream_mm.engine import Runner
from cream_mm.engine.loops import SearchLoop, SupernetTrainLoop
from cream_mm.engine.loops.search_loop import strategies
from cream_mm.evaluation import ArchEvaluator, Rating
from cream_mm.registry import LOOPS
from cream_mm.testing import tiny_space, write_image_folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def config(data, work_dir, *, max_epochs=2, train_cfg=None, test_cfg=None, **kwargs):
    """A search of 9 images a class (3 held out), 7 steps an epoch."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    model = dict(
        type='ImageClassifier',
        backbone=dict(
            type='cream_mm.CreamSupernet', space=tiny_space().to_dict(),
            costs=dict(input_size=8, num_classes=3, head_channels=0), budget=dict(macs_m=(0, 0.5)),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=32),
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    )  # fmt: skip
    test_cfg = {'num_random': 2, 'num_bn_images': 16, **(test_cfg or {})}
    return Config(dict(
        default_scope='mmpretrain',
        runner_type='cream_mm.Runner',
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
        train_cfg=dict(
            {'type': 'cream_mm.SupernetTrainLoop', **(train_cfg or {})}, max_epochs=max_epochs
        ),
        test_cfg=dict(type='cream_mm.SearchLoop', bn_dataset=train, **test_cfg),
        test_evaluator=[],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        default_hooks=dict(path_log=dict(type='cream_mm.PathLogHook')),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}-{max_epochs}',
        **kwargs,
    ))  # fmt: skip


def build(*args, **kwargs):
    return Runner.from_cfg(config(*args, **kwargs))


def read(work_dir, name):
    return json.loads(Path(work_dir, name).read_text())


def write_log(work_dir, weights, steps=400):
    """A log in which the loss is a sum over the choices, and noise."""
    space, rng = tiny_space(), np.random.default_rng(0)
    lines = []
    for step in range(steps):
        flat = rng.integers(2, size=4)
        loss = 2 - (weights * flat).sum() + 0.01 * rng.normal()
        lines.append(dict(step=step, arch=space.decode(flat.tolist()).to_list(), loss=loss))
    Path(work_dir, 'path_log.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')


def test_without_effects_the_answer_is_the_best_rated(data, tmp_path):
    build(data, tmp_path / 'run').train()
    answer, search = read(tmp_path / 'run', 'best_arch.json'), read(tmp_path / 'run', 'search.json')
    assert answer['choice']['rule'] == 'random'
    assert 'path_log.jsonl, has 14 steps' in answer['choice']['notes'][0]
    assert search['strategy'] is None
    best = min(search['rated'], key=lambda row: row['loss'])
    assert answer['arch'] == best['arch'] == search['best']['arch']
    assert all(row['macs_m'] <= 0.5 for row in search['rated'])


def test_effects_ask_and_ratings_veto(data, tmp_path, monkeypatch):
    runner = build(data, tmp_path / 'run', test_cfg=dict(num=3))
    runner.train()
    loop = runner.test_loop
    space, budget = tiny_space(), runner.model.backbone.budget
    weights = np.array([0.3, -0.2, 0.4, 0.1])
    write_log(tmp_path / 'run', weights)
    monkeypatch.setattr(type(loop), 'num_steps', 400)
    loop.run()
    flats = [[int(digit) for digit in f'{i:04b}'] for i in range(16)]
    inside = [f for f in flats if budget.is_feasible(space.decode(f))]
    order = sorted(inside, key=lambda f: -(weights * f).sum())
    answer, front = read(tmp_path / 'run', 'best_arch.json'), read(tmp_path / 'run', 'front.json')
    asked = [r['arch'] for r in read(tmp_path / 'run', 'search.json')['rated']][:3]
    assert asked == [space.decode(f).to_list() for f in order[:3]]
    assert answer['choice']['rule'] == 'effects' and answer['arch'] in asked
    # Every step of the front is the exact best within its bound, but for what ratings vetoed.
    assert front['by'] == 'effects'
    for step in front['steps'][:-1]:
        within = [f for f in flats if cost(space, budget, f) <= step['bound'] + 1e-9]
        best = max(within, key=lambda f: (weights * f).sum())
        assert step['arch'] == space.decode(best).to_list()
    assert front['steps'][-1]['arch'] == answer['arch']

    def worse(self, arch):
        losses = tuple(np.linspace(1, 2, 9) + (arch == space.decode(order[0])))
        return Rating(50.0, 9, float(np.mean(losses)), losses)

    monkeypatch.setattr('cream_mm.evaluation.ArchEvaluator.rate', worse)
    monkeypatch.setattr('cream_mm.evaluation.ArchEvaluator._shared_layers', lambda *_: None)
    (tmp_path / 'run/ratings.jsonl').unlink()
    loop.run()
    answer = read(tmp_path / 'run', 'best_arch.json')
    for row in read(tmp_path / 'run', 'search.json')['rated']:
        own = row['arch'] == asked[0]  # a nat worse on each image, and the others are equal
        assert row['vs_answer'] == dict(mean=float(own), error=0.0)
    assert (
        answer['arch'] == asked[1]
        and 'Ratings vetoed the best path' in answer['choice']['notes'][0]
    )


def cost(space, budget, flat):
    return budget.cost_model.cost(space.decode(flat)).macs / 1e6


@pytest.mark.parametrize('name', ['evolution', 'RandomSearch', 'cream_mm.main_effects'])
def test_a_strategy_by_its_name(data, tmp_path, name):
    strategy = dict(type=name, seed=1)
    runner = build(data, tmp_path / 'run', test_cfg=dict(strategy=strategy, num=4))
    runner.train()
    search, answer = read(tmp_path / 'run', 'search.json'), read(tmp_path / 'run', 'best_arch.json')
    assert [row['source'] for row in search['rated']].count('given') == 4
    assert answer['choice']['rule'] == 'given'
    assert answer['arch'] == runner.test_loop.strategy.best().arch.to_list()


@pytest.mark.parametrize(
    'strategy, error',
    [
        (dict(type='anealing'), 'no strategy is named'),
        (dict(type='PathSampler'), 'no strategy is named'),
        (dict(type='random', population=3), r"strategy 'random' has no \['population'\]"),
        (dict(type='training_effects'), 'has 7 steps of different paths, too few'),
    ],
)
def test_a_strategy_that_cannot_work(data, tmp_path, strategy, error):
    runner = build(data, tmp_path / 'run', max_epochs=1, test_cfg=dict(strategy=strategy))
    with pytest.raises(ValueError, match=error):
        runner.train()


def test_names_of_all_strategies():
    assert strategies() == [
        'board',
        'combined_effects',
        'evolution',
        'main_effects',
        'nao',
        'nsga2',
        'random',
        'single_changes',
        'training_effects',
    ]  # fmt: skip


def test_no_answer_at_the_end(data, tmp_path):
    runner = build(data, tmp_path / 'run', max_epochs=1, train_cfg=dict(rate_at_end=False))
    runner.train()
    assert not (tmp_path / 'run/best_arch.json').exists()
    runner.test_loop.run()
    assert (tmp_path / 'run/best_arch.json').exists()


def test_a_metric_is_needed_and_known(data, tmp_path):
    runner = build(data, tmp_path / 'run', max_epochs=1, test_cfg=dict(metric='accuracy/top5'))
    with pytest.raises(ValueError, match='the evaluator, which has no metric'):
        runner.train()
    cfg = config(data, tmp_path / 'other', max_epochs=1, test_cfg=dict(metric='accuracy/top5'))
    cfg.test_evaluator = dict(type='Accuracy', topk=(1,))
    with pytest.raises(ValueError, match=r"no metric 'accuracy/top5'; it has accuracy/top1"):
        Runner.from_cfg(cfg).train()


# --- inside a training, and in its checkpoints ---


@LOOPS.register_module(name='AlternatingForTests', force=True)
class Alternating(SupernetTrainLoop):
    """After each epoch rates two more paths of a search of its own."""

    def __init__(self, runner, dataloader, *, search, **kwargs):
        super().__init__(runner, dataloader, rate_at_end=False, **kwargs)
        cfg = runner.cfg
        self.search = SearchLoop(runner, cfg.test_dataloader, [], **search)
        self.told = []

    def run_epoch(self):
        super().run_epoch()
        self.search.prepare()
        ratings = self.search.search(self.search.build_evaluator(log_file=None), 2)
        self.told.append([arch.to_list() for arch in ratings])

    def state_dict(self):
        return dict(super().state_dict(), search=self.search.state_dict())

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.search.load_state_dict(state['search'])


def alternating(data, work_dir, max_epochs, **kwargs):
    cfg = config(data, work_dir, max_epochs=max_epochs, **kwargs)
    search = dict(
        bn_dataset=cfg.test_cfg.bn_dataset, strategy=dict(type='evolution'), num_bn_images=9
    )
    cfg.train_cfg.update(type='cream_mm.AlternatingForTests', search=search)
    return Runner.from_cfg(cfg)


@pytest.mark.slow
def test_inside_a_training_and_resumed(data, tmp_path):
    whole = alternating(data, tmp_path / 'whole', 3)
    whole.train()
    assert [len(part) for part in whole.train_loop.told] == [2, 2, 2]
    archs = [str(arch) for part in whole.train_loop.told for arch in part]
    assert len(set(archs)) == 6  # the strategy knows what it asked for before

    alternating(data, tmp_path / 'run', 2).train()
    saved = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=True)['loops']
    # Saved before the epoch's search, which a resumed run makes again.
    assert [c.get('ask') for c in saved['train_loop']['search']['strategy']['calls']] == [
        1,
        None,
    ] * 2
    resumed = alternating(data, tmp_path / 'run', 3, resume=True)
    resumed.train()
    first = resumed.train_loop.search.strategy.scored
    assert len(first) >= 4
    assert [s.arch.to_list() for s in first[:2]] == whole.train_loop.told[0]


def test_state_is_only_there_where_there_is_one(data, tmp_path):
    build(data, tmp_path / 'run', max_epochs=1, train_cfg=dict(rate_at_end=False)).train()
    assert 'loops' not in torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)


@pytest.mark.parametrize(
    'changes, error',
    [
        (dict(strategy=dict(type='anealing')), 'no strategy is named'),
        (dict(metric='accuracy/top1'), 'which has no metric'),
        (dict(metric='accuracy/loss'), 'better when higher'),
    ],
)
def test_a_mistake_is_found_before_the_training(data, tmp_path, changes, error):
    runner = build(data, tmp_path / 'run', test_cfg=changes)
    with pytest.raises(ValueError, match=error):
        runner.train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_rating_that_is_not_finite_is_passed_over(data, tmp_path, monkeypatch):
    runner = build(data, tmp_path / 'run', test_cfg=dict(strategy=dict(type='evolution'), num=4))
    rate, bad = ArchEvaluator._rate_in_order, []

    def spoilt(self, archs):
        for arch, rating in zip(archs, rate(self, archs)):
            if not bad or arch in bad:
                bad.append(arch)
                rating = rating._replace(loss=float('nan'))
            yield rating

    monkeypatch.setattr(ArchEvaluator, '_rate_in_order', spoilt)
    runner.train()
    assert len(runner.test_loop.strategy.scored) == 3
    assert read(tmp_path / 'run', 'best_arch.json')['arch'] != bad[0].to_list()


def test_averaged_weights_are_rated_as_they_are_exported(data, tmp_path):
    hooks = [dict(type='cream_mm.EMAHook', momentum=0.2)]
    build(data, tmp_path / 'run', custom_hooks=hooks).train()
    trained = read(tmp_path / 'run', 'search.json')['rated']
    runner = build(data, tmp_path / 'again', load_from=str(tmp_path / 'run/epoch_2.pth'))
    runner.test()
    tested = read(tmp_path / 'again', 'search.json')['rated']
    assert [(r['arch'], r['loss']) for r in trained] == [(r['arch'], r['loss']) for r in tested]
    build(data, tmp_path / 'raw').train()
    raw = read(tmp_path / 'raw', 'search.json')['rated']
    assert [r['loss'] for r in raw] != [r['loss'] for r in trained]
