"""What of a run is for the screen, and what for its file alone."""

import contextlib
import io
import logging
import os
import sys
import types
import warnings

import pytest
from mmengine.logging import MMLogger

from cream_mm.engine import screen
from cream_mm.engine.screen import ScreenFilter, put_on_screen, rest_to_file


def said_by(module, function='f', code='logger.{level}(text, extra=extra)'):
    """A function of a made-up module that logs or prints."""
    there = types.ModuleType(module)
    there.__dict__['__name__'] = module
    exec(f'def {function}(logger, text, extra=None):\n    {code.format(level="info")}', vars(there))
    return getattr(there, function)


@pytest.fixture
def run(tmp_path, monkeypatch, request):
    """A logger with a screen and a file, of a training whose share is ``run.share``."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', shown)
    level = getattr(request, 'param', 'INFO')
    file = tmp_path / 'run.log'
    logger = MMLogger(f'run-{tmp_path.name}', log_file=str(file), log_level=level)
    about = types.SimpleNamespace(logger=logger, share=0.0, shown=shown)
    put_on_screen(logger, lambda: about.share)
    about.screen = lambda: [line.split(' - ')[-1] for line in shown.getvalue().splitlines()]
    about.file = file.read_text
    return about


CASES = [
    ('mmengine.runner.runner', 'f', 'Config:\na = 1', False),
    ('mmengine.runner.runner', 'f', 'Hooks will be executed in the following order:', False),
    ('mmengine.runner.runner', 'f', 'resumed epoch: 3, iter: 339', True),
    ('mmengine.runner.runner', 'f', 'LR is set: Scaling the original LR by 1.0.', False),
    ('mmengine.runner.runner', 'f', 'LR is set: Scaling the original LR by 0.125.', True),
    ('mmengine.optim.x', 'f', 'paramwise_options -- backbone.bn1.weight:weight_decay=0.0', False),
    ('mmdet.anything', 'f', 'Registry node is automatically imported', False),
    ('mmdet.evaluation.metrics.coco_metric', 'f', 'bbox_mAP_copypaste: 0.040', False),
    ('mmdet.evaluation.metrics.coco_metric', 'f', '+--+\n| category | mAP |', True),
    ('mmengine.hooks.checkpoint_hook', 'f', 'The best checkpoint with 0.04 is saved', True),
    ('mmengine.hooks.checkpoint_hook', 'f', 'Saving checkpoint at 4 epochs', False),
    ('mmengine.hooks.logger_hook', 'after_val_epoch', 'Epoch(val) [1] accuracy/top1: 9', True),
    ('mmengine.hooks.logger_hook', 'after_test_epoch', 'Epoch(test) accuracy/top1: 9', True),
    ('mmengine.hooks.logger_hook', 'after_train_iter', 'Exp name: x', False),
    ('cream_mm.engine.loops.search_loop', 'f', 'Best path: 0', True),
    ('my_package.hooks', 'f', 'mine', True),
]  # fmt: skip


@pytest.mark.parametrize(('module', 'function', 'text', 'is_shown'), CASES)
def test_what_is_shown(run, module, function, text, is_shown):
    said_by(module, function)(run.logger, text)
    assert bool(run.screen()) == is_shown
    assert text in run.file()


@pytest.mark.parametrize('run', ['DEBUG'], indirect=True)
def test_at_level_debug_nothing_is_left_out(run):
    for module, function, text, _ in CASES:
        said_by(module, function)(run.logger, text)
    assert len(run.screen()) == sum(text.count('\n') + 1 for _, _, text, _ in CASES)
    with contextlib.redirect_stdout(run.shown), rest_to_file(run.logger):
        said_by('pycocotools.coco', code='print(text)')(None, 'index created!')
    assert run.screen()[-1] == 'index created!'


def test_warnings_and_errors(run):
    warn = said_by('mmengine.x', code='logger.warning(text)')
    warn(run.logger, '"FileClient" will be deprecated in future. Please use io functions')
    warn(run.logger, 'GPU 0 is on fire')
    said_by('mmengine.x', code='logger.error(text)')(run.logger, '"FileClient" will be deprecated')
    assert len(run.screen()) == 2 and run.screen()[0] == 'GPU 0 is on fire'
    assert run.file().count('"FileClient"') == 2


def test_progress_is_thinned(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(screen.time, 'monotonic', lambda: now[0])
    train = said_by('mmengine.hooks.logger_hook', 'after_train_iter')
    for step in range(1, 101):
        run.share = step / 100
        train(run.logger, f'step {step}')
    shown = [int(line.split()[-1]) for line in run.screen()]
    assert shown == [1, 8, 15, 22, 29, 36, 43, 50, 57, 64, 71, 78, 85, 92, 99, 100]
    assert run.file().count('step ') == 100
    rated = said_by('cream_mm.x')
    for i in range(1, 31):
        rated(run.logger, f'rated {i}', dict(share=i / 30))
    shown = [line for line in run.screen() if line.startswith('rated')]
    assert shown == [f'rated {i}' for i in (1, 5, 9, 13, 17, 21, 25, 29, 30)]
    # A training of days has a line each five minutes; so has a long validation.
    run.share, count = 0.0, len(run.screen())
    val = said_by('mmengine.hooks.logger_hook', 'after_val_iter')
    for minute in range(11):
        now[0] = 1e6 + 60.0 * minute
        val(run.logger, f'minute {minute}')
    assert run.screen()[count:] == ['minute 0', 'minute 5', 'minute 10']


def test_another_run_of_this_name_has_its_own_progress(run):
    put_on_screen(run.logger, lambda: 1.0)
    filters = [f for f in run.logger.handlers[0].filters if isinstance(f, ScreenFilter)]
    assert len(filters) == 1 and filters[0]._training_share() == 1.0


def test_prints_of_metrics_go_to_the_file(run):
    coco = said_by('pycocotools.cocoeval', code='print(text, end=""); print(" DONE")')
    before = sys.stdout
    with contextlib.redirect_stdout(run.shown), rest_to_file(run.logger):
        coco(None, 'Accumulating evaluation results...')
        said_by('my_package.model', code='print(text)')(None, 'mine')
        print('ours')
    assert sys.stdout is before
    assert run.screen() == ['mine', 'ours']
    assert 'Accumulating evaluation results... DONE' in run.file()


def test_warnings_of_python_are_in_the_file_too(run):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with rest_to_file(run.logger):
            warnings.warn('Seems like `optimizer.step()` has been overridden after', stacklevel=1)
            warnings.warn('a mistake of yours', stacklevel=1)
        warnings.warn('later', stacklevel=1)
    assert [str(w.message) for w in seen] == ['a mistake of yours', 'later']
    assert 'overridden after' in run.file() and 'UserWarning: a mistake of yours' in run.file()
    assert run.screen() == []  # warnings go where they went, to stderr


def test_an_exception_passes_and_leaves_nothing_behind(run):
    before, show = sys.stdout, warnings.showwarning
    with pytest.raises(ZeroDivisionError), rest_to_file(run.logger):
        1 / 0  # noqa: B018
    assert sys.stdout is before and warnings.showwarning is show
    assert logging.getLevelName(run.logger.handlers[0].level) == 'INFO'


def test_processes_of_a_group_start_quietly(monkeypatch, capfd):
    for is_group in (False, True):
        monkeypatch.delenv('WORLD_SIZE', raising=False)
        if is_group:
            monkeypatch.setenv('WORLD_SIZE', '2')
        with screen.quiet_start():
            os.write(1, b'[Gloo] Rank 1 is connected to 1 peer ranks\n')
            os.write(2, b'error\n')
        os.write(1, b'later\n')
        told, errors = capfd.readouterr()
        assert (told.count('Gloo'), told.count('later'), errors) == (not is_group, 1, 'error\n')
