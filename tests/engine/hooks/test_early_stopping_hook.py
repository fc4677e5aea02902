"""When a training ends early, what it says, and that a killed one ends alike."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from test_summary_hook import build, parts  # noqa: F401

from cream_mm.engine.hooks import EarlyStoppingHook
from cream_mm.engine.hooks.summary_hook import result_checkpoint


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


def run(parts, folder, values, epochs=9, best='accuracy/top1', resume=False, **hook):  # noqa: F811
    parts.values = iter(values)
    hooks = [dict(type='cream_mm.EarlyStoppingHook', **hook)]
    runner = build(folder, best=best, epochs=epochs, custom_hooks=hooks, resume=resume)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    runner.logger.handlers.append(handler)
    runner.train()
    runner.logger.handlers.remove(handler)
    return runner, [line for line in lines if line.startswith('Stopped')]


@pytest.mark.parametrize(
    'values, hook, stops, best',
    [
        ([50, 80, 70, 80, 79], dict(patience=3), 5, 2),  # as good as before is no gain
        (
            [50, 60, 61, 70, 70.5, 71],
            dict(patience=2, min_delta=2),
            6,
            6,
        ),  # small ones are best, too
        (
            [50, 51.5, 53, 54.5, 56, 57.5, 59, 60.5, 62],
            dict(patience=2, min_delta=2),
            None,
            9,
        ),  # and add up: two are one
        ([50, 60, 59, 61, 60, 62, 61, 63, 62], dict(patience=2), None, 8),
        ([50, 90, 95], dict(stopping_threshold=90), 2, 2),
        ([50, 60, float('nan'), 70], {}, 3, 2),
        ([50, 40, 45, 41], dict(rule='less', patience=2, monitor='accuracy/top1'), 4, 2),
    ],
)
def test_when_it_stops(parts, tmp_path, values, hook, stops, best):  # noqa: F811
    runner, lines = run(parts, tmp_path, values, **hook)
    assert runner.epoch == (stops or 9) and len(lines) == (stops is not None)
    if stops:
        assert lines[0].startswith(f'Stopped after epoch {stops} of 9: accuracy/top1 ')
        assert f'%, after epoch {best}: ' in lines[0]
        if 'rule' not in hook:  # which is not the best checkpoint's
            assert lines[0].endswith(f'/best_accuracy_top1_epoch_{best}.pth')
    state = runner.message_hub.get_info('early_stopping')
    assert (state['epoch'], state['best']) == (best, values[best - 1])


def test_the_best_checkpoint_is_kept_and_named(parts, tmp_path):  # noqa: F811
    """Where the config asks for no best checkpoint, too."""
    runner, (line,) = run(parts, tmp_path, [50, 80, 70, 60], best=None, patience=2)
    assert line == (
        'Stopped after epoch 4 of 9: accuracy/top1 has not got better in 2 validations; best '
        f'accuracy/top1 80.00 %, after epoch 2: {tmp_path}/best_accuracy_top1_epoch_2.pth'
    )
    assert result_checkpoint(runner) == str(tmp_path / 'best_accuracy_top1_epoch_2.pth')


@pytest.mark.parametrize('killed', [3, 4])
def test_a_resumed_run_counts_on(parts, tmp_path, killed):  # noqa: F811
    values = [50, 80, 70, 60, 65, 90]
    whole, lines = run(parts, tmp_path / 'whole', values, patience=3)
    run(parts, tmp_path / 'cut', values, epochs=killed, patience=3)
    # The last validation, which came after the checkpoint, is made up for.
    again, said = run(parts, tmp_path / 'cut', values[killed - 1 :], resume=True, patience=3)
    assert again.epoch == whole.epoch == 5
    assert [line.replace('cut', 'whole') for line in said] == lines
    once_more, said = run(parts, tmp_path / 'cut', values[4:], resume=True, patience=3)
    assert once_more.epoch == 5 and len(said) == 1  # it stays stopped


def test_a_metric_that_is_not_there_is_refused(parts, tmp_path):  # noqa: F811
    with pytest.raises(ValueError, match="no metric 'acc/top1': it has .'accuracy/top1'"):
        run(parts, tmp_path, [50], monitor='acc/top1', best=None)


def test_a_search_is_not_stopped():
    said = []
    model = SimpleNamespace(backbone=SimpleNamespace(shares_weights=True))
    runner = SimpleNamespace(model=model, logger=SimpleNamespace(warning=said.append))
    hook = EarlyStoppingHook(patience=1)
    hook.before_train(runner)
    for value in (2, 1, 0):
        hook.after_val_epoch(runner, {'accuracy/top1': value})  # asks nothing of the runner
    assert len(said) == 1 and 'does nothing in a search' in said[0]
