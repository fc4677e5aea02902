"""Weights of classes in the loss, from the images that are trained on."""

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.balanced_sampler import count_labels
from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class ClassWeightsHook(Hook):
    """Weighs each class by ``n / (C * n_c)``: rare classes count as much as frequent ones.

    With n images of C classes, n_c of class c, the mean weight of an image is 1, so that the
    learning rate stays right. For the losses of mmpretrain that take ``class_weight``: cross
    entropy, with label smoothing, too. A class without images gets the weight 1.

    Raises:
        ValueError: If the head has no such loss, or images have no label or several.
    """

    def before_train(self, runner: Runner) -> None:
        head = getattr(unwrap(runner.model), 'head', None)
        losses = [m for m in head.modules() if hasattr(m, 'class_weight')] if head else []
        if not losses:
            kind = type(getattr(head, 'loss_module', head)).__name__
            raise ValueError(
                f"class_balance='weights' needs a loss that takes class_weight, and {kind} takes "
                "none: give class_balance='sampling'"
            )
        weights = class_weights(count_labels(runner.train_dataloader.dataset), head.num_classes)
        for loss in losses:
            loss.class_weight = weights
        runner.logger.info(
            f'class_balance: classes weigh {min(weights):.3g} to {max(weights):.3g} in the loss'
        )


def class_weights(labels: list[int], num_classes: int) -> list[float]:
    """The weight of each class.

    >>> class_weights([0, 0, 0, 1], 3)
    [0.6666666666666666, 2.0, 1.0]
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = int((counts > 0).sum())
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1.0).tolist()
