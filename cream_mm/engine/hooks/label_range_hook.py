"""Refuses labels that the head has no output for."""

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class LabelRangeHook(Hook):
    """Checks the labels of each batch of the first epoch, before the model sees them.

    Without it, a label too large ends as an index error, on a GPU without a word of where. The
    labels are looked at on the CPU, where they come from the loader.

    Raises:
        ValueError: With the label, the image and the number of outputs.
    """

    def before_train(self, runner: Runner) -> None:
        self._first_epoch = runner.epoch
        self._num_classes = _num_classes(unwrap(runner.model))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        if self._num_classes is None or runner.epoch != self._first_epoch:
            return
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or []:
            labels = _labels(sample)
            if labels is None or labels.numel() == 0:
                continue
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= self._num_classes:
                raise ValueError(
                    f'{getattr(sample, "img_path", "an image")} has the label '
                    f'{low if low < 0 else high}, but the model has {self._num_classes} outputs, '
                    f'for labels 0 to {self._num_classes - 1}. Correct the annotations, or '
                    'num_classes'
                )


def _num_classes(model) -> int | None:
    """Outputs of a classifier's or a detector's head; None if it has another kind of head."""
    roi_head = getattr(model, 'roi_head', None)
    for holder, name in ((model, 'head'), (model, 'bbox_head'), (roi_head, 'bbox_head')):
        number = getattr(getattr(holder, name, None), 'num_classes', None)
        if isinstance(number, int):
            return number
    return None


def _labels(sample):
    """Labels of one image, as mmpretrain or mmdet packs them."""
    if 'gt_label' in sample:
        return sample.gt_label
    return sample.gt_instances.get('labels') if 'gt_instances' in sample else None
