"""mmdet's COCO metric against a mended annotation file."""

from collections.abc import Sequence
from typing import Any

from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.fileio import get_local_path

from ..datasets.coco_dataset import index
from ..datasets.coco_file import CocoFile, number_classes, read_coco


class CocoMetric(MMDetCocoMetric):
    """mmdet's ``CocoMetric`` that measures against annotations as :class:`CocoDataset` reads them.

    Of a good file the values are the very ones of mmdet's. Labels go to categories by name, in
    whatever order the file lists them, also in the table of ``classwise=True``.

    Args:
        ann_file (str, optional): The annotation file. None takes the boxes that the data set gives.
        **kwargs: Further arguments of mmdet's ``CocoMetric``.

    Attributes:
        label_ids (list[int], optional): The category id of each label; None before the first
            result, and without ``ann_file``.

    Raises:
        OSError, ValueError: As :func:`read_coco`; if masks are to be measured, and the file has
            none for a box.
    """

    def __init__(self, ann_file: str | None = None, **kwargs: Any):
        super().__init__(ann_file=None, **kwargs)
        self.label_ids: list[int] | None = None
        self._ids: dict[str, int] = {}  # of the categories, by name
        if ann_file is not None:
            with get_local_path(ann_file, backend_args=self.backend_args) as path:
                file = read_coco(path)
            self._ids = file.ids
            self._coco_api = index(self._content(file), [*self._ids.values()], [*self._ids])

    def _content(self, file: CocoFile) -> dict:
        """What is measured against: pycocotools writes into it, so the annotations are copies."""
        masks = 'segm' in self.metrics
        kept = [dict(annotation) for annotation in file.content['annotations']]
        bare = [a['id'] for a in kept if masks and not a.get('segmentation')]
        if bare:
            raise ValueError(
                f"{file.path}: metric='segm' measures masks, and {len(bare)} of {len(kept)} "
                f'annotations have no segmentation, the first is {bare[0]}. Measure metric="bbox"'
            )
        if not masks:
            for annotation in kept:
                annotation.pop('segmentation', None)
        return {**file.content, 'annotations': kept}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """As mmdet's."""
        if self._ids and self.label_ids is None:
            classes = self.dataset_meta['classes']
            self.label_ids = number_classes(self._ids, classes)
            for number, name in zip(self.label_ids, classes):
                if number not in self._coco_api.cats:  # a class that this split does not list
                    category = self._coco_api.cats[number] = dict(id=number, name=name)
                    self._coco_api.dataset['categories'].append(category)
            self.cat_ids = sorted(self.label_ids)  # the order that pycocotools measures in
        return super().compute_metrics(results)

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """As mmdet's, which looks up a label's category in ``cat_ids``."""
        in_order = self.cat_ids
        self.cat_ids = self.label_ids or in_order
        try:
            return super().results2json(results, outfile_prefix)
        finally:
            self.cat_ids = in_order
