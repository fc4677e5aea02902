"""Images whose labels stand in a table, one label or several per image."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..files import some_of
from ..registry import DATASETS
from .folder_listing import check_classes
from .image_folder import ImageFolder
from .label_table import read_label_table


@DATASETS.register_module()
class LabelledImages(ImageFolder):
    """Images by a table of labels, a CSV or a list of files, wherever they lie below it.

    As an :class:`ImageFolder` in all else: ``folder`` is the split, and with the same images in
    class folders the parts are the same. Classes are those of the training split.

    With several labels per image ``gt_label`` is an array of them, which may be empty. Each image
    is held out as one of its rarest label, so that the held-out part has images of all labels.

    Args:
        data_root (str): The folder that holds the table, or the table itself.
        folder (str): 'train', 'val' or 'test'. A table without splits has all images in 'train'.
            Defaults to 'train'.
        multi_label (bool, optional): Whether an image may have several labels. Defaults to what
            the table holds.
        label_column (str, optional): Name of the label's column, where several could be.
        **kwargs: Others of :class:`ImageFolder`.

    Raises:
        FileNotFoundError: If there is no table, or it has no such split.
        ValueError: As :func:`read_label_table`, and as :class:`ImageFolder`.
    """

    def __init__(
        self,
        data_root: str,
        *,
        multi_label: bool | None = None,
        label_column: str | None = None,
        **kwargs: Any,
    ):
        self._place = data_root, multi_label, label_column
        table = read_label_table(*self._place)
        table.say()
        self.is_multi = table.is_multi
        super().__init__(table.root, **kwargs)

    def _open(self, data_root: str, folder: str, named: Sequence[str] | None) -> list[str]:
        table = read_label_table(*self._place)
        self.folder, train = table.find(folder), table.find('train')
        self.is_train, self.packed = self.folder == train, None
        if not table.has(self.folder):
            raise FileNotFoundError(table.missing(folder))
        classes = table.classes_of(train) if named is None else list(named)
        found, where = table.classes_of(self.folder), table.where(self.folder)
        check_classes(classes, found, table.where(train), where)
        return classes

    def _where(self) -> str:
        return f'in {read_label_table(*self._place).where(self.folder)}'

    def _list_classes(self) -> list[list[dict]]:
        table = read_label_table(*self._place)
        number = {name: label for label, name in enumerate(self.CLASSES)}
        own = {
            image.path: sorted(number[table.classes[label]] for label in image.labels)
            for image in table.images(self.folder)
        }
        files = table.files(self.folder)
        empty = [name for name in self.CLASSES if name not in files]
        if empty and self.is_train and not self.is_multi:
            raise ValueError(f'{table.where(self.folder)} has no image of {some_of(empty)}')
        return [
            [
                dict(
                    img_path=os.path.join(self.data_root, path),
                    gt_label=np.array(own[path], np.int64) if self.is_multi else own[path][0],
                )
                for path in files.get(name, [])
            ]
            for name in (*self.CLASSES, '')
        ]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of a sample, for samplers that balance classes."""
        return np.atleast_1d(self.get_data_info(idx)['gt_label']).tolist()
