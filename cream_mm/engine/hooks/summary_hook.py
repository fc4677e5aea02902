"""Says what a run works on when it begins, and what came out of it when it ends."""

import os.path as osp
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn

from ...command_words import words_as_typed
from ...files.dry_run_folder import is_dry
from ...files.errors_file import ERRORS_FILE
from ...registry import HOOKS
from ..distributed import unwrap
from ..small_sets import measured_sets, small_set_line
from ..words import PERCENT, SHARE, format_duration, short_path, with_unit


@HOOKS.register_module()
class SummaryHook(Hook):
    """A few lines for whoever looks at the screen; ``cream_mm.Runner`` has it by default.

    At the start of a training: data, model, budget, schedule and the log file. At the end of any
    run: the best result with its unit, the file it is in, the time that all took, and commands to
    go on with, ready to be pasted.

    The best validation so far is part of the checkpoints, ``best_result`` of the message hub, so
    that a resumed run knows it.
    """

    # After LoggerHook and EMAHook; before CheckpointHook, which saves the best result so far.
    priority = 'LOW'

    def before_run(self, runner: Runner) -> None:
        self._start = time.monotonic()
        self._measured: dict | None = None  # by a test, or a validation that is all of a run
        self._last: tuple[str, float] | None = None  # of the validations of a training
        self._is_validated = False

    def before_train(self, runner: Runner) -> None:
        runner.logger.info('\n  '.join(['Training', *_beginning(runner)]))
        if found := measured_sets(runner):
            dataset, purpose = found
            trained, config = runner.train_dataloader.dataset, None
            if not is_dry(runner.work_dir):
                config = shlex.quote(short_path(_dumped(runner)))
            if line := small_set_line(dataset, trained, purpose, config):
                runner.logger.warning(line)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if not _is_trained(runner):
            self._measured = dict(metrics or {})
            return
        self._is_validated = True
        keys = [k for k, v in (metrics or {}).items() if _is_number(v) and 'raw_' not in k]
        if not keys:
            return
        key = next((k for k in keys if k == _followed(runner)), keys[0])
        value = float(metrics[key])
        self._last = key, value
        better = _comparison(key)
        best = runner.message_hub.get_info('best_result')
        is_known = isinstance(best, dict) and best.get('metric') == key
        if better and (not is_known or better * value > better * best['value']):
            found = dict(metric=key, value=value, epoch=runner.epoch)
            runner.message_hub.update_info('best_result', found)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._measured = dict(metrics or {})

    def after_run(self, runner: Runner) -> None:
        took = f'Done in {format_duration(time.monotonic() - self._start)}.'
        loop = runner._test_loop
        if getattr(loop, 'summary', None):
            rows, commands = loop.summary, loop.next_commands
        elif self._measured is not None:
            rows, commands = self._of_a_test(runner), _after_test(runner)
        elif _is_trained(runner):
            rows, commands = self._of_a_training(runner), _after_training(runner)
        else:  # a tool only used the model
            return
        rows = [*rows, ('log', short_path(_log_file(runner)))]
        width = max(len(name) for name, _ in rows)
        lines = [took, *(f'  {name:<{width}}  {text}' for name, text in rows)]
        lines += [
            *(['  next'] if commands else []),
            *(f'  {shlex.join(words_as_typed(c))}' for c in commands),
        ]
        runner.logger.info('\n'.join(lines))

    def _of_a_training(self, runner) -> list[tuple[str, str]]:
        rows, best = [], runner.message_hub.get_info('best_result')
        if self._last is None and not isinstance(best, dict):
            nothing = 'the validations gave no number, as when a detector finds nothing'
            rows.append(('result', nothing if self._is_validated else 'no validation was run'))
        elif isinstance(best, dict):
            text = f'{with_unit(best["metric"], best["value"])}, after epoch {best["epoch"]}'
            if self._last is not None and self._last[0] == best['metric']:
                text += f'; the last one has {with_unit(*self._last)}'
            rows.append(('best', text))
        else:
            rows.append(('last', with_unit(*self._last)))
        if checkpoint := result_checkpoint(runner):
            rows.append(('weights', short_path(checkpoint)))
        return rows

    def _of_a_test(self, runner) -> list[tuple[str, str]]:
        numbers = {k: float(v) for k, v in self._measured.items() if _is_number(v)}
        told = [with_unit(key, value) for key, value in numbers.items() if value != -1]
        rows = [('result', ', '.join(told) or 'no metric')]
        weights = runner._load_from
        return [*rows, *([('weights', short_path(weights))] if weights else [])]


def result_checkpoint(runner: Runner) -> str | None:
    """The best checkpoint of a training if there is one, else the last."""
    hub = runner.message_hub
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            names = [f'best_ckpt_{key}' for key in getattr(hook, 'key_indicators', None) or ()]
            found = [hub.get_info(name) for name in ['best_ckpt', *names, 'last_ckpt']]
            paths = [path for path in found if isinstance(path, str) and osp.isfile(path)]
            return paths[0] if paths else None
    return None


# ---- the beginning -------------------------------------------------------------------------------


def _beginning(runner) -> list[str]:
    dataset = runner.train_dataloader.dataset
    images = f'{len(dataset)} images' if hasattr(dataset, '__len__') else type(dataset).__name__
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    images += f' of {len(classes)} classes' if classes else ''
    if root := _data_root(dataset):
        images += f' ({root})'
    if runner.val_loop is not None:
        images += f'; validated on {len(runner.val_dataloader.dataset)}'
    loop, loader = runner.train_loop, runner.train_dataloader
    batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None)
    length = f'{loop.max_iters} steps'
    if isinstance(loop, EpochBasedTrainLoop):
        length = f'{loop.max_epochs} epochs of {len(loop.dataloader)} steps'
    length += f' of {batch} images' if batch else ''
    length += f' on each of {runner.world_size} ranks' if runner.world_size > 1 else ''
    if runner.iter:
        length += f'; goes on after step {runner.iter}'
    rows = [('data', images), ('model', _model(unwrap(runner.model)))]
    backbone = getattr(unwrap(runner.model), 'backbone', None)
    if getattr(backbone, 'shares_weights', False):
        budget = '; '.join([str(backbone.budget), *backbone.budget.unused()])
        rows.append(('space', f'{_paths(backbone.space.num_networks)} paths; {budget}'))
    rows += [('length', length), ('log', short_path(_log_file(runner)))]
    return [f'{name:<6}  {text}' for name, text in rows]


def _model(model: nn.Module) -> str:
    text = type(model).__name__
    if (backbone := getattr(model, 'backbone', None)) is not None:
        text += f' around {type(backbone).__name__}'
    device = next((str(p.device) for p in model.parameters()), 'cpu')
    count = sum(p.numel() for p in model.parameters()) / 1e6
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad) / 1e6
    count = f'{count:.3f} M parameters' + (f' ({frozen:.3f} M of them frozen)' if frozen else '')
    return f'{text}, {count}, on {device}'


def _paths(count: int) -> str:
    return f'{count}' if count < 1e6 else f'{count:.1e}'


def _data_root(dataset: Any) -> str | None:
    while dataset is not None:
        if root := getattr(dataset, 'data_root', None):
            return str(root)
        dataset = getattr(dataset, 'dataset', None)
    return None


# ---- the end -------------------------------------------------------------------------------------


# Of tools/export_onnx.py: classifiers, and detectors with one stage.
_EXPORTED = {'ImageClassifier', 'RetinaNet', 'FCOS', 'RTMDet'}


def _after_training(runner) -> list[list[str]]:
    checkpoint = result_checkpoint(runner)
    if checkpoint is None or runner._test_loop is None:
        return []
    config, work_dir = _dumped(runner), Path(runner.work_dir)
    trained = [short_path(work_dir)]
    if list(work_dir.glob('*.py')) != [config]:  # which it is has to be said
        trained = [short_path(config), short_path(checkpoint)]
    test = ['python', 'tools/test.py', *trained]
    commands = [test]
    if 'visualization' in (runner.cfg.get('default_hooks') or {}):
        test += ['--show-dir', short_path(work_dir / 'drawn')]
    elif (search := _search_of(runner)) is not None:
        report = ['python', 'tools/report.py', short_path(search)]
        commands.append([*report, '--retrain', short_path(work_dir)])
    elif (work_dir / ERRORS_FILE).is_file():
        commands.append(['python', 'tools/report.py', short_path(work_dir)])
    if _EXPORTED & {kind.__name__ for kind in type(unwrap(runner.model)).__mro__}:
        commands.append(['python', 'tools/export_onnx.py', *trained])
    return commands


def _after_test(runner) -> list[list[str]]:
    hooks = runner.cfg.get('default_hooks') or {}
    draws = hooks.get('visualization') or {}
    if not draws or draws.get('draw') or not runner._load_from:
        return []
    config, work_dir = _dumped(runner), Path(runner.work_dir)
    trained, weights = work_dir.parent, Path(runner._load_from)
    is_only = list(trained.glob('*.py')) == [trained / config.name]
    is_there = weights.resolve().parent == trained.resolve()
    if work_dir.name == 'test' and is_only and is_there:  # as "test.py WORK_DIR" has it
        command = ['python', 'tools/test.py', short_path(trained)]
        return [[*command, '--show-dir', short_path(trained / 'drawn')]]
    command = ['python', 'tools/test.py', short_path(config), short_path(weights)]
    command += ['--work-dir', short_path(work_dir)]
    return [[*command, '--show-dir', short_path(work_dir / 'drawn')]]


def _search_of(runner) -> Path | None:
    """The search whose answer a config retrains, where that was exported into its work_dir."""
    if not runner.cfg.filename:
        return None
    for folder in Path(runner.cfg.filename).resolve().parents[:3]:
        if (folder / 'best_arch.json').is_file():
            return folder
    return None


def _dumped(runner) -> Path:
    name = Path(runner.cfg.filename).name if runner.cfg.filename else f'{runner.timestamp}.py'
    return Path(runner.work_dir, name)


def _log_file(runner) -> str:
    return getattr(runner.logger, 'log_file', None) or runner.work_dir


def _followed(runner) -> str | None:
    """The metric that the best checkpoint is the best of, if that is given by name."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            return next(iter(getattr(hook, 'key_indicators', None) or ()), None)
    return None


def _comparison(metric: str) -> int:
    """1 where more is better, -1 where less is; 0 where nobody knows."""
    if any(part in metric for part in CheckpointHook._default_less_keys):
        return -1
    known = (*PERCENT, *SHARE, *CheckpointHook._default_greater_keys)
    return int(any(part in metric for part in known))


def _is_trained(runner) -> bool:
    return isinstance(runner._train_loop, BaseLoop)  # the property would build it


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))
