"""Warm-ups in steps: shortened where they would be most of a training, and nowhere else."""

import copy

import pytest
from mmengine.config import Config
from test_runner import data, retraining  # noqa: F401

from cream_mm.engine import Runner, short_warmup

COCO = Config.fromfile('configs/retinanet_cream.py').param_scheduler


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(short_warmup, 'print_log', lambda text, logger: lines.append(text))
    return lines


def test_on_a_small_set_it_ends(said):
    """Each of the shipped detectors; 300 photographs are 12 epochs of 38 steps."""
    for name in ('retinanet_cream', 'spos/search_retinanet_coco',
                 'detection/rtmdet_cream-287m_8xb32-300e_coco'):  # fmt: skip
        given = Config.fromfile(f'configs/{name}.py').param_scheduler
        before = copy.deepcopy(given)
        first, *rest = short_warmup.shorten_warmup(given, 456)
        assert first == dict(before[0], end=46) and rest == list(before[1:])
        assert given == before  # a run may build them again
        assert said.pop() == (
            f'The warm-up takes {before[0].end} steps, and the training 456: it is shortened to 46'
        )


def test_one_that_fits_stays(said):
    assert short_warmup.shorten_warmup(COCO, 12 * 7330) == COCO
    assert short_warmup.shorten_warmup(COCO, 1500) == COCO
    decay = [dict(type='LinearLR', start_factor=1.0, end_factor=0.0, by_epoch=False, end=99)]
    epochs = [dict(type='LinearLR', start_factor=0.1, end=5, convert_to_iter_based=True)]
    for given in (decay, epochs, None, dict(first=COCO)):
        assert short_warmup.shorten_warmup(given, 12) == given
    assert said == []


def test_what_follows_it_begins_where_it_ends(said):
    given = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=1000),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=1000, end=2000),
    ]
    first, second = short_warmup.shorten_warmup(given, 500)
    assert (first['end'], second['begin'], second['end']) == (50, 50, 2000)


def test_a_run_reaches_its_rate(data, tmp_path, monkeypatch, said):  # noqa: F811
    """The rate of each step of a Runner; the schedule of its optimizer ends in time."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')
    cfg = retraining(data, tmp_path)
    cfg.param_scheduler = list(COCO)
    cfg.train_cfg.max_epochs = 2
    runner, rates = Runner.from_cfg(cfg), []
    step = runner.model.train_step

    def train_step(batch, optim_wrapper):
        rates.append(optim_wrapper.param_groups[0]['lr'])
        return step(batch, optim_wrapper)

    runner.model.train_step = train_step
    runner.train()
    assert rates == pytest.approx([0.01 / 3, *[0.01] * 17])
    assert said == ['The warm-up takes 500 steps, and the training 18: it is shortened to 2']
