"""A crop that keeps images without a box in a detector's training."""

from mmdet.datasets.transforms import RandomCrop


class DetRandomCrop(RandomCrop):
    """mmdet's ``RandomCrop``; an image that has no box at all is cropped, too.

    mmdet's gives None for it, and another image is drawn in its place: no image without a box would
    ever be trained on. Of an image that has boxes, crops without one are passed over as in mmdet;
    with ``allow_negative_crop=True`` neither is. The same random numbers are drawn.
    """

    def _crop_data(
        self, results: dict, crop_size: tuple[int, int], allow_negative_crop: bool
    ) -> dict | None:
        boxes = results.get('gt_bboxes')
        is_empty = boxes is not None and len(boxes) == 0
        return super()._crop_data(results, crop_size, allow_negative_crop or is_empty)
