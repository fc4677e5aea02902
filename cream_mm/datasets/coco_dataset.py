"""mmdet's COCO data set on a mended annotation file."""

import contextlib
import functools
import io
import logging
from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from .coco_file import CocoFile, is_local, left_out, number_classes, read_coco


class CocoDataset(MMDetCocoDataset):
    """mmdet's ``CocoDataset`` that reads annotation files as tools write them.

    A good file gives the very samples that mmdet's gives. Others are mended as
    :func:`mend_coco` says, each kind with a line. Labels go by the *names* in ``classes``; mmdet
    numbers them in the order in which the file lists its categories, whatever ``classes`` says.

    Args:
        metainfo (dict, optional): ``classes``, the names in the order of the labels; a single name
            or a file of names, one a line, as text. Without them they are COCO's, if the file's
            categories are. Defaults to None.
        **kwargs: Further arguments of mmdet's ``CocoDataset``.

    Raises:
        OSError, ValueError: As :func:`read_coco`; if no category of the file is a class.
    """

    def __init__(self, *args: Any, metainfo: dict | None = None, **kwargs: Any):
        self.names_classes = bool(metainfo and metainfo.get('classes'))
        prefix = kwargs.get('data_prefix') or {}  # mmdet's default lacks the name that it reads
        kwargs['data_prefix'] = {'img': prefix.get('img_path', ''), **prefix}
        super().__init__(*args, metainfo=metainfo, **kwargs)

    @classmethod
    def _load_metainfo(cls, metainfo: dict | None = None) -> dict:
        found = super()._load_metainfo(metainfo)
        if 'classes' in found:
            found['classes'] = class_names(found['classes'])
        return found

    def load_data_list(self) -> list[dict]:
        """As mmdet's, of the mended file."""
        is_here = is_local(self.backend_args) and '://' not in self.ann_file
        folder = self.data_prefix.get('img') or '.'
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            file = read_coco(path, folder if is_here and '://' not in folder else None)
        classes = self.metainfo['classes']
        self._check_classes(file, classes)
        for line in (*file.notes, left_out(file, classes)):
            say(line)
        for image in file.content['images']:
            if type(image.get('width')) is not int or type(image.get('height')) is not int:
                raise ValueError(
                    f'{self.ann_file}: image {image["id"]} has no width and height, and pictures '
                    f'below {folder} cannot be looked at. Write them into the file'
                )
        self.COCOAPI = lambda path: index(file.content, number_classes(file.ids, classes), classes)
        try:
            return super().load_data_list()
        finally:
            del self.COCOAPI  # the class's again: workers are sent the data set

    def _check_classes(self, file: CocoFile, classes: Sequence[str]) -> None:
        used = set(file.counts) or set(file.classes)
        if self.names_classes and (not used or used & set(classes)):
            return
        if not self.names_classes and used <= set(classes):
            return
        names = ', '.join(repr(name) for name in file.classes[:8])
        names += ', ...' if len(file.classes) > 8 else ''
        given = ', '.join(repr(name) for name in classes[:3])
        raise ValueError(
            f'{self.ann_file} has the categories {names}, the data set the classes {given}, ...: '
            f'give it metainfo=dict(classes=(...)) with '
            "the file's names, and the heads as many num_classes"
        )


def class_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Classes as a config gives them; a text is one class, and never matched by its parts."""
    classes = (classes,) if isinstance(classes, str) else classes
    return tuple(name for name in (str(name).strip() for name in classes) if name)


def index(content: dict, ids: Sequence[int], classes: Sequence[str]) -> COCO:
    """The content as mmdet and pycocotools take it.

    Categories are those of ``classes``, in their order, under these ids, so that positions in what
    it lists are labels; an id that is not among them belongs to none.
    """
    found = COCO()
    known = {category['id']: category for category in content['categories']}
    categories = [{**known.get(i, {}), 'id': i, 'name': name} for i, name in zip(ids, classes)]
    found.dataset = {**content, 'categories': categories}
    with contextlib.redirect_stdout(io.StringIO()):
        found.createIndex()
    found.img_ann_map, found.cat_img_map = found.imgToAnns, found.catToImgs
    return found


@functools.cache  # once in a process
def say(line: str | None) -> None:
    """Log a line about a file, unless it was."""
    if line:
        print_log(line, 'current', level=logging.WARNING)
