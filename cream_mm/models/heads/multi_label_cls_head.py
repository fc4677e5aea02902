"""Classification head of Cream's networks for several labels per image."""

from typing import Any

from mmpretrain.models.heads import MultiLabelClsHead
from torch import Tensor

from ...registry import MODELS
from .cream_cls_head import CreamClsHead


@MODELS.register_module()
class CreamMultiLabelClsHead(CreamClsHead, MultiLabelClsHead):
    """A :class:`CreamClsHead` whose outputs are labels that are there or not, each for itself.

    The loss is the binary cross entropy of each label, summed over the labels as in mmpretrain's
    ``MultiLabelClsHead``, whose predictions these are: scores by the sigmoid, and the labels whose
    score reaches ``thr``.

    Args:
        num_classes (int): Number of labels.
        in_channels (int): Channels of the last feature map. Defaults to 320.
        loss (dict, optional): Loss of the logits against zeros and ones. Defaults to the binary
            cross entropy.
        thr (float): Score from which on a label is predicted. Defaults to 0.5.
        **kwargs: Others of a :class:`CreamClsHead` but ``topk``.

    Shapes:
        input: tuple whose last item is (N, in_channels, H, W). output: (N, num_classes).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 320,
        *,
        loss: dict | None = None,
        thr: float = 0.5,
        **kwargs: Any,
    ):
        loss = loss or dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True)
        super().__init__(num_classes, in_channels, loss=loss, **kwargs)
        self.thr, self.topk = thr, None

    def _get_loss(self, logits: Tensor, data_samples: list, **kwargs: Any) -> dict:
        return MultiLabelClsHead._get_loss(self, logits, data_samples, **kwargs)

    def _get_predictions(self, logits: Tensor, data_samples: list | None) -> list:
        return MultiLabelClsHead._get_predictions(self, logits, data_samples)
