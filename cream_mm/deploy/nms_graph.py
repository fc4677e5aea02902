"""Non-maximum suppression of a whole batch, by torch and by ONNX's own operator."""

import torch
import torchvision
from torch import Tensor


def best_boxes(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    iou_threshold: float,
    max_per_image: int,
    class_agnostic: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """What non-maximum suppression leaves of candidates, in a fixed number K of rows per image.

    Boxes of different classes do not suppress each other, which is kept apart by class and not by
    moving boxes, so that it holds in any precision. Nothing of an image depends on the others of
    its batch. A box goes where its IoU with a better one is above the threshold.

    Args:
        boxes (Tensor): (N, M, 4), x1 y1 x2 y2.
        scores (Tensor): (N, M). A candidate with score 0 is none.
        labels (Tensor): (N, M), int64, 0 to ``num_classes`` - 1.
        num_classes (int): Number of classes.
        iou_threshold (float): 0 to 1.
        max_per_image (int): K.
        class_agnostic (bool): Whether boxes suppress those of other classes, too. Defaults to
            False.

    Returns:
        tuple: Boxes (N, K, 4), scores (N, K), falling, and labels (N, K). Rows beyond what is left
        have box 0, score 0 and label -1.
    """
    if class_agnostic or num_classes == 1:
        by_class = scores[:, None]
    else:
        classes = torch.arange(num_classes, device=labels.device)[:, None]
        by_class = torch.where(labels[:, None] == classes, scores[:, None], scores.new_zeros(()))
    rows = _Suppression.apply(boxes, by_class, float(iou_threshold), int(max_per_image))
    # Which candidates are left, as an image of the batch each: (N, M), the sum has one term.
    places = rows[:, 0] * scores.shape[1] + rows[:, 2]
    flat = scores.reshape(-1)
    left = torch.zeros_like(flat).scatter(0, places, flat[places]).reshape(scores.shape)
    # K more candidates with score 0, so that there are K rows to take.
    left = torch.nn.functional.pad(left, (0, max_per_image))
    # The reshapes tell the exporter that K is no unknown.
    scores, order = (x.reshape(-1, max_per_image) for x in left.topk(max_per_image, dim=1))
    empty = scores == 0
    order = order.masked_fill(empty, 0)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4)).reshape(-1, max_per_image, 4)
    labels = labels.gather(1, order).reshape(-1, max_per_image)
    # These are what gives the outputs: OpenVINO drops a reshape that does nothing, and its name.
    return (
        boxes.masked_fill(empty[..., None], 0),
        scores.masked_fill(empty, 0),
        labels.masked_fill(empty, -1),
    )


class _Suppression(torch.autograd.Function):
    """Boxes (N, M, 4), scores (N, C, M) -> rows (image, class, candidate), int64, of those kept."""

    @staticmethod
    def forward(ctx, boxes, scores, iou_threshold, per_class):
        rows = []
        for image, of_image in enumerate(scores):
            for kind in (of_image > 0).any(dim=1).nonzero()[:, 0].tolist():
                candidates = (of_image[kind] > 0).nonzero()[:, 0]
                kept = torchvision.ops.nms(
                    boxes[image, candidates], of_image[kind, candidates], iou_threshold
                )
                kept = candidates[kept[:per_class]]
                rows.append(
                    torch.stack(
                        [torch.full_like(kept, image), torch.full_like(kept, kind), kept], dim=1
                    )
                )
        return torch.cat(rows) if rows else scores.new_zeros((0, 3), dtype=torch.int64)

    @staticmethod
    def symbolic(g, boxes, scores, iou_threshold, per_class):
        def constant(value, dtype):
            return g.op('Constant', value_t=torch.tensor([value], dtype=dtype))

        return g.op(
            'NonMaxSuppression', boxes, scores, constant(per_class, torch.int64),
            constant(iou_threshold, torch.float32), constant(0.0, torch.float32),
        )  # fmt: skip
