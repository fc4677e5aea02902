"""How long ratings take, by a share of the images and a clock of our own."""

from types import SimpleNamespace

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.engine import stage
from cream_mm.engine.loops import rating_time
from cream_mm.testing import tiny_space

HELD_OUT, TRAINING = 1000, 500
READ, RATE = 0.01, 0.02  # seconds an image


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    for module in (stage, rating_time):
        monkeypatch.setattr(module, 'perf_counter', lambda: now[0])
    datasets = SimpleNamespace(build=lambda cfg: range(TRAINING))
    monkeypatch.setattr(rating_time, 'DATASETS', datasets)
    return now


class Evaluator:
    def __init__(self, clock, number):
        self.clock, self.number = clock, number
        self.kept_bytes = 2**20 * number

    def fingerprint(self):
        self.clock[0] += READ * self.number

    def rate(self, arch):
        self.clock[0] += RATE * self.number


def search(clock, asked, **settings):
    args = dict(num_images=None, num_bn_images=2048, bn_policy='recalibrate', keep_gb=4.0)
    args.update(settings)

    def build_evaluator(num_images, num_bn_images, log_file):
        assert log_file is None
        asked.append((num_images, num_bn_images))
        return Evaluator(clock, num_images + num_bn_images)

    space = tiny_space()
    return SimpleNamespace(
        evaluator_args=args, supernet=SimpleNamespace(space=space),
        budget=Budget(build_cost_model(space, 8)), runner=SimpleNamespace(seed=0),
        dataloader=SimpleNamespace(dataset=range(HELD_OUT)), build_evaluator=build_evaluator,
        bn_dataset=None,
    )  # fmt: skip


def test_all_images_by_a_share_of_them(clock):
    asked = []
    read, each = rating_time.time_a_rating(search(clock, asked))
    assert read == pytest.approx(READ * (HELD_OUT + TRAINING), rel=0.02)
    assert each == pytest.approx(RATE * (HELD_OUT + TRAINING), rel=0.02)
    # 64 images take 64 * (0.01 + 4 * 0.02) s, so ten seconds 111 of the 1500: no second look.
    assert asked == [(43, 21)]


def test_images_that_memory_does_not_keep_are_read_for_each_path(clock):
    # 1500 MB, of which half are kept.
    kept = 0.75 * (HELD_OUT + TRAINING) / 1500 / 1.024
    read, each = rating_time.time_a_rating(search(clock, [], keep_gb=kept))
    assert each == pytest.approx(1500 * (RATE + 0.5 * READ), rel=0.02)
