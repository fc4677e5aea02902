"""What a fold's training leaves."""

import json
from types import SimpleNamespace

import numpy as np

from cream_mm.engine.hooks import FoldHook


def runner_of(tmp_path, hook):
    metrics = {'accuracy/top1': np.float64(80), 'raw_accuracy/top1': 70.0, 'told': 'no number'}
    loop = SimpleNamespace(run=lambda: hook.after_val_epoch(None, metrics))
    loader = SimpleNamespace(dataset=range(7))
    return SimpleNamespace(work_dir=tmp_path, epoch=3, val_loop=loop, val_dataloader=loader)


def test_the_last_validation_counts(tmp_path):
    hook = FoldHook(folds=5, fold=2)
    hook.after_val_epoch(None, {'accuracy/top1': 50.0})
    hook.after_val_epoch(None, {'accuracy/top1': 60.0})
    hook.after_train(runner_of(tmp_path, hook))
    assert json.loads((tmp_path / 'fold.json').read_text()) == dict(
        format='cream_mm.fold/1', folds=5, fold=2, epoch=3, num_images=7,
        metrics={'accuracy/top1': 60.0},
    )  # fmt: skip


def test_a_validation_that_was_cut_off_is_made_up_for(tmp_path):
    hook = FoldHook(folds=5, fold=2)
    hook.after_train(runner_of(tmp_path, hook))  # resumed after the last epoch
    content = json.loads((tmp_path / 'fold.json').read_text())
    assert content['metrics'] == {'accuracy/top1': 80.0}
