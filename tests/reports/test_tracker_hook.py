"""What a tracker is told of a search is what its files hold."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_runs import small_images, use_our_runner
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import BaseVisBackend
from scipy.stats import kendalltau
from test_search_run import build

from cream_mm.evaluation import Rating
from cream_mm.registry import VISBACKENDS
from cream_mm.reports.tracker_hook import TrackerHook


@VISBACKENDS.register_module()
class Recorder(BaseVisBackend):
    """Keeps what it is told, in the order in which it is."""

    def __init__(self, save_dir=''):
        self.scalars, self.images, self.closed = [], {}, False

    experiment = property(lambda self: self)

    def _init_env(self):
        pass

    def add_scalar(self, name, value, step=0, **kwargs):
        self.add_scalars({name: value}, step)

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        assert not self.closed
        self.scalars.append((step, dict(scalar_dict)))

    def add_image(self, name, image, step=0, **kwargs):
        assert not self.closed
        self.images[name] = image

    def close(self):
        self.closed = True

    def of(self, prefix):
        return [(step, row) for step, row in self.scalars if any(k.startswith(prefix) for k in row)]


data = pytest.fixture(scope='module')(small_images)


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """A search of a board, with a tracker beside mmengine's own backend."""
    use_our_runner(monkeypatch)
    backends = [dict(type='LocalVisBackend'), dict(type='cream_mm.Recorder')]
    runner = build(
        data, tmp_path / 'run', max_epochs=2,
        visualizer=dict(type='Visualizer', vis_backends=backends),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            tracker=dict(type='cream_mm.TrackerHook'),
        ),
    )  # fmt: skip
    return runner


def test_a_search(run, tmp_path):
    run.train()
    told, work_dir = run.visualizer.get_backend('Recorder'), tmp_path / 'run'
    assert told.closed
    # Each rating as it was made, and the best of those before it.
    lines = [json.loads(line) for line in (work_dir / 'ratings.jsonl').read_text().splitlines()]
    rows = told.of('rating/')
    assert [step for step, _ in rows] == list(range(1, len(lines) + 1)) and len(lines) >= 7
    losses = [row['rating/cross_entropy'] for _, row in rows]
    assert sorted(losses) == pytest.approx(sorted(line['loss'] for line in lines))
    bests = [row['rating/best'] for _, row in rows]
    assert bests == list(np.minimum.accumulate(losses))
    search = json.loads((work_dir / 'search.json').read_text())['rated']
    macs = {line['loss']: line['macs_m'] for line in search}
    assert [row['rating/macs_m'] for _, row in rows] == [macs[loss] for loss in losses]
    # The front, by cost; the board, of the training's own log.
    steps = json.loads((work_dir / 'front.json').read_text())['steps']
    steps = sorted((s['costs']['macs_m'], s['rating']['top1_pct']) for s in steps)
    assert [tuple(row.values()) for _, row in told.of('front/')] == steps
    board = [e.score for e in run.model.board.entries]
    last = told.of('board_median')[-1][1]
    assert [last[f'board_{n}'] for n in ('best', 'median', 'worst')] == sorted(board, reverse=True)
    assert set(told.images) == {'front', 'rating_over_cost', 'answer'}
    assert all(i.ndim == 3 and i.dtype == np.uint8 and i.std() > 5 for i in told.images.values())
    # mmengine's own lines, which a report reads, are as they were.
    [scalars] = work_dir.glob('*/vis_data/scalars.json')
    assert 'rating/' not in scalars.read_text() and 'front/' not in scalars.read_text()


class FakeRunner(SimpleNamespace):
    def __init__(self):
        self.told = Recorder()
        local = LocalVisBackend.__new__(LocalVisBackend)
        super().__init__(visualizer=SimpleNamespace(_vis_backends=dict(a=local, b=self.told)))


def rate(hook, runner, values, predicted=None, stage=''):
    for i, value in enumerate(values):
        rating = Rating(None, 10, None, metric='coco/bbox_mAP', value=value)
        hook.after_rating(
            runner, rating, dict(macs_m=1.0 + i, params_m=1.0),
            predicted=None if predicted is None else predicted[i], stage=stage,
        )  # fmt: skip


def test_tau_is_kendalls_from_five_paths_on():
    runner, hook = FakeRunner(), TrackerHook()
    values, predicted = [0.1, 0.4, 0.3, 0.2, 0.5, 0.9], [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]
    rate(hook, runner, values, predicted)
    key = 'rating/tau_of_training_losses'
    assert [key in row for _, row in runner.told.scalars] == [False] * 4 + [True] * 2
    for n in (5, 6):
        tau = kendalltau(values[:n], predicted[:n]).statistic
        assert runner.told.scalars[n - 1][1][key] == pytest.approx(tau)
    assert runner.told.scalars[4][1]['rating/coco_bbox_mAP'] == 0.5


def test_a_stage_begins_anew_and_no_number_is_left_out():
    runner, hook = FakeRunner(), TrackerHook()
    rate(hook, runner, [0.5, 0.7], stage='phase_1')
    rate(hook, runner, [0.3, math.nan, 0.6], stage='phase_2')
    assert [row['rating/best'] for _, row in runner.told.scalars] == [0.5, 0.7, 0.3, 0.3, 0.6]
    assert [step for step, _ in runner.told.scalars] == [1, 2, 3, 4, 5]
    assert 'rating/coco_bbox_mAP' not in runner.told.scalars[3][1]


def test_a_run_that_is_no_search_leaves_the_tracker_alone(tmp_path):
    """Also where the answer of an earlier one lies."""
    runner, hook = FakeRunner(), TrackerHook()
    runner.work_dir, runner.logger = str(tmp_path), SimpleNamespace(info=print)
    Path(tmp_path, 'best_arch.json').write_text('{}')
    hook.before_run(runner)
    hook._began += 10  # the file is older
    hook.after_run(runner)
    assert runner.told.scalars == [] and runner.told.images == {}


def test_the_end_of_a_search_cannot_fail_by_its_tracker(tmp_path):
    runner, hook, lines = FakeRunner(), TrackerHook(), []
    runner.work_dir = str(tmp_path)
    runner.logger = SimpleNamespace(info=print, warning=lines.append)
    hook.before_run(runner)
    Path(tmp_path, 'best_arch.json').write_text('{}')
    hook.after_run(runner)
    assert len(lines) == 1 and lines[0].startswith('The end of the search is not in the tracker: ')
