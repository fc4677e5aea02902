"""Images with boxes as every reader of boxes gives them, and the COCO file that is made of them."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .coco_mend import MARGIN
from .coco_notes import Tally
from .coco_pictures import picture_size as image_size

__all__ = [
    'BOX_KINDS', 'Box', 'BoxImage', 'BoxNotes', 'BoxSet', 'coco_content', 'image_size', 'mend_box',
    'read_box_set',
]  # fmt: skip

BOX_KINDS = ('voc', 'yolo', 'box_csv')  # of set_kind.KINDS, beside COCO's


class Box(NamedTuple):
    """One object: pixels, from the left and the top edge of the image, as COCO counts them."""

    label: int  # place in the classes of the set
    x: float
    y: float
    width: float
    height: float
    is_crowd: bool = False  # not trained on, and not counted against a detector that finds it


@dataclass
class BoxImage:
    """One image: its path below the root of the set, with '/', and its size, upright."""

    path: str
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)


@dataclass
class BoxSet:
    """A set of images with boxes.

    Attributes:
        root (str): Folder that paths are relative to.
        classes (list[str]): Names, in the order of the labels.
        splits (dict[str, list[BoxImage]]): Images of 'train', 'val' and 'test', as far as the set
            has them; of a set without splits, 'all'.
        notes (list[str]): Lines for the user about what was mended.
    """

    root: str
    classes: list[str]
    splits: dict[str, list[BoxImage]]
    notes: list[str] = field(default_factory=list)

    def counts(self, split: str) -> list[int]:
        """Number of boxes of each class in a split."""
        found = [0] * len(self.classes)
        for image in self.splits[split]:
            for box in image.boxes:
                found[box.label] += 1
        return found

    def content(self, images: Sequence[BoxImage]) -> dict:
        """The content of a COCO annotation file of some of the images."""
        return coco_content(self, images)


def read_box_set(kind: str, root: str | os.PathLike) -> BoxSet:
    """Read a set of one of :data:`BOX_KINDS`, whose reader is imported now.

    Raises:
        OSError, ValueError: Of the reader, for what it refuses.
    """
    if kind == 'voc':
        from .voc_file import read_voc as read
    elif kind == 'yolo':
        from .yolo_file import read_yolo as read
    else:
        from .box_csv import read_box_csv as read
    return read(root)


def coco_content(box_set: BoxSet, images: Sequence[BoxImage]) -> dict:
    """The content of a COCO annotation file; ``file_name`` is the path below the set's root."""
    annotations = [
        dict(
            id=0, image_id=number, category_id=box.label + 1,
            bbox=[_plain(v) for v in box[1:5]], area=_plain(box.width * box.height),
            iscrowd=int(box.is_crowd),
        )
        for number, image in enumerate(images, 1) for box in image.boxes
    ]  # fmt: skip
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
    return dict(
        info=dict(description='boxes as cream_mm read them'),
        images=[
            dict(id=number, file_name=image.path, width=image.width, height=image.height)
            for number, image in enumerate(images, 1)
        ],
        annotations=annotations,
        categories=[
            dict(id=number, name=name, supercategory='')
            for number, name in enumerate(box_set.classes, 1)
        ],
    )


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


# ---- what readers mend alike ---------------------------------------------------------------------


CANNOT_BE_READ = 'images that cannot be read'
SHOWN = 5  # problems of a set in one message


def first_lines(problems: Sequence[str]) -> str:
    """Problems of a set in a message, a line each, and how many more there are."""
    more = [f'and {len(problems) - SHOWN} more'] if len(problems) > SHOWN else []
    return '\n'.join([*problems[:SHOWN], *more])


class BoxNotes:
    """Lines about what was mended in a set: of each kind how often, and where first.

    Args:
        where (str): The set.
    """

    def __init__(self, where: str):
        self.where = where
        self._tally = Tally()

    def add(self, problem: str, done: str, example: object = '', count: int = 1) -> None:
        """Take note of one, or of several alike: what is odd, what is made of it, and where."""
        self._tally.add((problem, done), example, count)

    def lines(self) -> list[str]:
        """One line of each kind.

        >>> notes = BoxNotes('cards')
        >>> notes.add('boxes that reach outside the image', 'clipped', 'a.xml, object 2')
        >>> notes.lines()
        ['cards: boxes that reach outside the image: 1, clipped (a.xml, object 2)']
        """
        return [
            f'{self.where}: {problem}: {number}, {done}{shown}'
            for (problem, done), number, shown in self._tally.told()
        ]


def mend_box(
    label: int,
    corners: Sequence[float],
    size: tuple[int, int],
    notes: BoxNotes,
    where: str,
    is_crowd: bool = False,
) -> Box | None:
    """A box of corners as annotation files have them, mended as boxes of COCO files are.

    Args:
        label (int): Of its class.
        corners (Sequence[float]): Left, top, right, bottom, in pixels.
        size (tuple[int, int]): Width and height of the image.
        notes (BoxNotes): Is told what is mended.
        where (str): The object's place, for the notes.
        is_crowd (bool): See :class:`Box`. Defaults to False.

    Returns:
        Box: None if there is nothing of it in the image.

    Raises:
        ValueError: If a corner is no finite number.
    """
    if not all(map(math.isfinite, corners)):
        raise ValueError(f'{where}: the box {tuple(corners)} is not four finite numbers')
    left, top, right, bottom = corners
    if right < left or bottom < top:
        notes.add('boxes with right left of left, or bottom above top', 'turned round', where)
        left, right, top, bottom = *sorted((left, right)), *sorted((top, bottom))
    if right == left or bottom == top:
        notes.add('boxes without width or height', 'left out', where)
        return None
    width, height = size
    if left < -MARGIN or top < -MARGIN or right > width + MARGIN or bottom > height + MARGIN:
        inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            notes.add('boxes wholly outside the image', 'left out', where)
            return None
        notes.add('boxes that reach outside the image', 'clipped', where)
        left, top, right, bottom = inside
    return Box(label, left, top, right - left, bottom - top, is_crowd)
