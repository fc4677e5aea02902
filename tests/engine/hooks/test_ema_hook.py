"""Averaged weights: the warm-up, and both accuracies of a validation."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MomentumAnnealingEMA
from test_runner import data, retraining  # noqa: F401

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.hooks import EMAHook
from cream_mm.testing import logged_scalars


def share(n: int, momentum: float = 1e-4, gamma: float = 10) -> float:
    """The closed form: share of the weights after step n (0, 1, ...) in the average's update."""
    return 1.0 if n == 0 else max(momentum, gamma / (gamma + n))


def rule() -> dict:
    recipe = Config.fromfile('configs/cream/retrain_imagenet.py')
    (hook,) = [dict(h) for h in recipe.custom_hooks if h['type'] == 'cream_mm.EMAHook']
    hook.pop('type'), hook.pop('priority')
    return EMAHook(**hook).ema_cfg


def average_of(values, start: int = 0) -> list[float]:
    """What the recipe's rule makes of one weight that takes these values."""
    cfg = rule()
    assert cfg.pop('type') == 'MomentumAnnealingEMA'
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    ema = MomentumAnnealingEMA(model, **cfg)
    ema.steps += start
    seen = []
    for value in values:
        model.weight.data.fill_(value)
        ema.update_parameters(model)
        seen.append(float(ema.module.weight))
    return seen


def test_the_rule_is_its_closed_form():
    values = torch.linspace(-3, 5, 300).tolist()
    expected, average = [], 0.0
    for n, value in enumerate(values):
        average += share(n) * (value - average)
        expected.append(average)
    assert average_of(values) == pytest.approx(expected, rel=1e-9)


def test_the_start_is_forgotten():
    """After 376 steps, 8 epochs of 3,000 photographs, 96 % of the plain average are the start."""
    left = average_of([1.0] + [0.0] * 375)[-1]
    assert left == pytest.approx(math.prod(1 - share(n) for n in range(1, 376)), rel=1e-6)
    assert left < 1e-15 and pytest.approx(0.963, abs=1e-3) == (1 - 1e-4) ** 375


def test_a_ramp_lags_by_a_tenth():
    """The average reaches back over the last 1 / gamma of all steps, however many they are."""
    for steps in (100, 400, 2000):
        lag = (steps - average_of(range(steps + 1))[-1]) / steps
        assert lag == pytest.approx(1 / 11, rel=0.1)


def test_in_the_long_run_it_is_the_published_rule():
    """From step 99,990 on; what was before has no share left at the end of 638,000 steps."""
    assert share(99_989) > 1e-4 == share(99_990) == share(638_000)
    for start, plain in ((99_990, True), (90_000, False)):
        (moved,) = average_of([1.0], start)  # from 0
        assert (moved == pytest.approx(1e-4, rel=1e-9)) == plain
    assert (1 - 1e-4) ** (638_000 - 99_990) < 1e-23


def test_the_paper_mode_keeps_the_plain_rule():
    hooks = Config.fromfile('configs/cream/retrain_imagenet_paper.py').custom_hooks
    assert [h.get('ema_type') for h in hooks] == ['ExponentialMovingAverage']
    assert hooks[0]['momentum'] == 1e-4 and 'gamma' not in hooks[0]


def test_statistics_are_averaged_like_weights():
    """By default: those of the newest weights would not be the average's own."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.BatchNorm1d(1))
    hook, runner = EMAHook(), SimpleNamespace(model=model, iter=0, epoch=0)
    hook.before_run(runner)
    for value in (1.0, 0.0, 0.0):
        model[0].weight.data.fill_(value)
        model[1].running_mean.fill_(value)
        hook.after_train_iter(runner, 0)
    average = hook.ema_model.module
    expected = (1 - share(1)) * (1 - share(2))  # of the 1.0, twice passed over
    assert average[0].weight.tolist()[0] == pytest.approx([expected] * 2, rel=1e-6)
    assert float(average[1].running_mean) == pytest.approx(expected, rel=1e-6)


def hooked(data, folder, **hook):  # noqa: F811
    cfg = retraining(data, folder)
    cfg.custom_hooks = [
        dict(type='cream_mm.EMAHook', update_buffers=True, priority='ABOVE_NORMAL', **hook)
    ]
    return cfg


def test_both_accuracies_are_measured(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')
    cfg = hooked(data, tmp_path / 'run', ema_type='ExponentialMovingAverage', momentum=1e-4)
    runner = Runner.from_cfg(cfg)
    runner.train()
    logged = logged_scalars(tmp_path / 'run')
    content = load_checkpoint_file(tmp_path / 'run/epoch_3.pth')
    raw = {
        k.removeprefix('module.'): v for k, v in content['ema_state_dict'].items() if k != 'steps'
    }
    assert any(not torch.equal(raw[k], v) for k, v in content['state_dict'].items())
    for weights, name in ((content['state_dict'], 'accuracy'), (raw, 'raw_accuracy')):
        runner.model.load_state_dict(weights)
        runner.model.eval()
        with torch.no_grad():
            for batch in runner.val_dataloader:
                outputs = runner.model.val_step(batch)
                runner.val_evaluator.process(data_samples=outputs, data_batch=batch)
        expected = runner.val_evaluator.evaluate(len(runner.val_dataloader.dataset))
        assert logged['val', 3, f'{name}/top1'] == {expected['accuracy/top1']}
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    assert best.name.startswith('best_accuracy_top1')  # the average's, as before


def test_the_second_validation_can_be_left_out(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')
    cfg = hooked(data, tmp_path / 'run', raw_metrics=False)
    cfg.train_cfg.max_epochs = 1
    metrics = []
    runner = Runner.from_cfg(cfg)
    run = runner.val_loop.run
    monkeypatch.setattr(runner.val_loop, 'run', lambda: metrics.append(run()))
    runner.train()
    assert [set(found) for found in metrics] == [{'accuracy/top1'}]
