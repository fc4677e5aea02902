"""Notes what a classifier takes for what, whenever it is measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import collect_results
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample

from ...evaluation.error_counts import Prediction, errors_content
from ...files import write_json
from ...files.errors_file import ERRORS_FILE
from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class ErrorsHook(Hook):
    """Writes ``WORK_DIR/errors.json``, of which ``tools/report.py`` makes a confusion matrix.

    In a training it is of the best validation so far, in a test of that test. Of classifiers with
    one label an image; of detectors, of several labels and of supernets nothing is written.
    ``cream_mm.Runner`` has it by default.
    """

    priority = 'VERY_LOW'  # after SummaryHook, which finds the best validation

    def __init__(self):
        self._found: list[Prediction] = []

    def before_val_epoch(self, runner: Runner) -> None:
        self._found = []

    before_test_epoch = before_val_epoch

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | None = None,
    ) -> None:
        if _is_counted(runner):
            self._found += map(_prediction_of, filter(_has_one_label, outputs or ()))

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        best = runner.message_hub.get_info('best_result')
        if not isinstance(best, dict) or best.get('epoch') == runner.epoch:
            self._write(runner, runner.val_dataloader.dataset, f'of epoch {runner.epoch}')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        weights = str(runner._load_from or 'untrained')
        self._write(runner, runner.test_dataloader.dataset, weights)

    def _write(self, runner: Runner, dataset: Any, weights: str) -> None:
        if not _is_counted(runner):
            return
        found = collect_results(self._found, len(dataset), device='cpu')  # None on other ranks
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        if not found:
            return
        if classes is None:
            number = 1 + max(max(p.label, p.predicted) for p in found)
            classes = [str(k) for k in range(number)]
        images = f'{len(found)} images of {getattr(dataset, "data_root", "")}'
        content = errors_content(found, classes, images=images, weights=weights)
        write_json(Path(runner.work_dir, ERRORS_FILE), content)


def _is_counted(runner: Runner) -> bool:
    model = unwrap(runner.model)
    of_paths = getattr(getattr(model, 'backbone', None), 'shares_weights', False)
    return not of_paths and not isinstance(getattr(model, 'head', None), MultiLabelClsHead)


def _has_one_label(sample: Any) -> bool:
    return isinstance(sample, DataSample) and all(
        key in sample and sample.get(key).numel() == 1 for key in ('gt_label', 'pred_label')
    )


def _prediction_of(sample: Any) -> Prediction:
    label, predicted = int(sample.gt_label), int(sample.pred_label)
    score = float(sample.pred_score[predicted])
    return Prediction(str(sample.get('img_path', '')), label, predicted, round(score, 4))
