"""Steps are timed where they cost the same, and the training ends with them."""

import time

import pytest
from made_runs import small_images, use_our_runner
from mmengine.hooks import Hook
from test_search_run import build

from cream_mm.engine.dry_run import dry_run
from cream_mm.engine.stage import Stage


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return small_images(tmp_path_factory)


@pytest.fixture(autouse=True)
def our_runner(monkeypatch):
    use_our_runner(monkeypatch)


class Slow(Hook):
    """Steps take 10 ms, and 30 from the sixth tenth of the training on."""

    def after_train_iter(self, runner, *args, **kwargs):
        time.sleep(0.03 if runner.iter >= 0.6 * runner.max_iters else 0.01)

    def turns(self, runner):
        return [(0.6, 4)]


class Telling(Hook):
    def own_stages(self, runner):
        return [Stage('mine', 'things', 3, 2.0)]

    def before_train_iter(self, runner, *args, **kwargs):
        raise AssertionError('what it tells is not to be timed')


def named(found):
    return {stage.name: stage for stage in found.stages}


def test_steps_that_change_are_timed_on_both_sides(data, tmp_path):
    runner = build(data, tmp_path / 'run', board=False, max_epochs=4)
    runner.register_hook(Slow())
    runner.register_hook(Telling())
    found = dry_run(runner, time.perf_counter())
    first, second = (named(found)[name] for name in ('training', 'training from 60% on'))
    assert (first.number, second.number) == pytest.approx((0.6 * 28, 0.4 * 28))
    assert first.seconds_each >= 0.01 and second.seconds_each >= 0.03
    assert found.images_per_second == pytest.approx(4 / first.seconds_each)
    assert named(found)['mine'] == Stage('mine', 'things', 3, 2.0)


def test_an_epoch_of_a_single_step_is_no_end(data, tmp_path):
    """Fewer steps than are timed: the data begins anew, and nothing is validated or saved."""
    runner = build(data, tmp_path / 'run', board=False, max_epochs=1)
    runner.register_hook(seen := Seen())
    stages = named(dry_run(runner, time.perf_counter()))
    assert seen.steps == 3 + 20 and seen.epochs == 0
    assert stages['training'].number == 7 and not list((tmp_path / 'run').glob('epoch_*'))


class Seen(Hook):
    steps = epochs = 0

    def after_train_iter(self, runner, *args, **kwargs):
        self.steps += 1

    def after_train_epoch(self, runner):
        self.epochs += 1
