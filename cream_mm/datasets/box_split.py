"""Divides images with boxes into a part to train on and one to validate on."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence

from ..structures.randomness import named_rng
from .augmented import same_pictures
from .box_set import BoxImage
from .coco_pictures import file_digest, file_size
from .copies import first_of_each


def split_images(
    images: Sequence[BoxImage], share: float = 0.2, seed: int = 0, root: str | None = None
) -> tuple[list[BoxImage], list[BoxImage]]:
    """Images to train on and images to validate on, a function of the set and the seed alone.

    Classes are shared out evenly, the rare ones first: each is on both sides, if it is in two
    images that are no copies. Copies of one picture stay on one side: files of the same bytes, and
    what Roboflow made of one image.

    Args:
        images (Sequence[BoxImage]): At least two.
        share (float): Of the images that are validated on. Defaults to 0.2.
        seed (int): Of the split. Defaults to 0.
        root (str, optional): Of the image files. Without it, bytes are not compared.

    Returns:
        tuple[list[BoxImage], list[BoxImage]]: Both in the order of ``images``.

    Raises:
        ValueError: If there are fewer than two images that are no copies.
    """
    groups = group_copies(images, root)
    if len(groups) < 2:
        raise ValueError(
            f'{len(images)} images, {len(groups)} without copies: a part to train on and one to '
            'validate on need two'
        )
    held = _Sides(groups, share, seed).held
    return [i for i in images if i.path not in held], [i for i in images if i.path in held]


def group_copies(images: Sequence[BoxImage], root: str | None = None) -> list[list[BoxImage]]:
    """Images by the picture that they are of, in the order of their paths."""
    images = sorted(images, key=lambda image: image.path)
    paths = [image.path for image in images]
    alike = same_pictures(paths)
    if root is not None:
        alike += _same_bytes([os.path.join(root, path) for path in paths])
    groups = defaultdict(list)
    for image, first in zip(images, first_of_each(len(images), alike)):
        groups[first].append(image)
    return list(groups.values())


def _same_bytes(paths: Sequence[str]) -> list[list[int]]:
    """Positions of files that are the same; those that are alone with their size are not read."""
    by_size, by_digest = defaultdict(list), defaultdict(list)
    for i, path in enumerate(paths):
        by_size[file_size(path)].append(i)
    for size, places in by_size.items():
        for i in places if size > 0 and len(places) > 1 else ():
            by_digest[file_digest(paths[i], whole=True)].append(i)
    return list(by_digest.values())


class _Sides:
    """Shares groups of images out, rare classes first, each to the side that lacks more of it.

    After K. Sechidis et al., On the Stratification of Multi-Label Data, 2011. All classes of a
    group and its number of images count, not its rarest class alone, which would leave images of
    one class to the smaller side.
    """

    def __init__(self, groups: Sequence[Sequence[BoxImage]], share: float, seed: int):
        self.groups = groups
        # Images of a group that have a class, rather than boxes: one may have a hundred.
        self.classes = [
            Counter(label for image in group for label in {box.label for box in image.boxes})
            for group in groups
        ]
        self.having: dict[int, list[int]] = defaultdict(list)  # groups, by class
        order = named_rng('boxes', seed, 0).permutation(len(groups)).tolist()
        order.sort(key=lambda n: -len(groups[n]))  # the large ones while both sides have room
        for n in order:
            for label in self.classes[n]:
                self.having[label].append(n)
        number = sum(map(len, groups))
        held = min(max(1, round(number * share)), number - 1)
        self.lacking = [number - held, held]  # images, of the side to train on and the other
        self.of_class = {
            label: self._wanted(sum(self.classes[n][label] for n in found), len(found), share)
            for label, found in self.having.items()
        }
        self.of_all, self.to_get = [*self.lacking], {k: [*v] for k, v in self.of_class.items()}
        self.side: dict[int, int] = {}
        self.left = {label: len(found) for label, found in self.having.items()}  # groups
        while open_classes := [label for label, left in self.left.items() if left]:
            label = min(open_classes, key=lambda label: (self.left[label], label))
            for n in self.having[label]:
                if n not in self.side:
                    self._put(n, self._side_lacking(n))
        for n in order:
            if n not in self.side:
                self._put(n, int(self.lacking[1] > self.lacking[0]))
        self._on_both_sides()

    @staticmethod
    def _wanted(images: int, groups: int, share: float) -> list[float]:
        held = max(1.0, images * share) if groups > 1 else 0.0
        return [images - held, held]

    def _side_lacking(self, n: int) -> int:
        """The side that lacks more of what a group has, as a share of what it is to get."""
        pairs = [(self.of_class[label], self.to_get[label]) for label in self.classes[n]]
        pairs.append((self.lacking, self.of_all))
        train, held = (
            sum(left[side] / max(to_get[side], 1e-9) for left, to_get in pairs) for side in (0, 1)
        )
        return int(held > train)

    def _put(self, n: int, side: int) -> None:
        self.side[n] = side
        self.lacking[side] -= len(self.groups[n])
        for label, number in self.classes[n].items():
            self.of_class[label][side] -= number
            self.left[label] -= 1

    def _on_both_sides(self) -> None:
        """Move groups of classes that others have pulled to one side."""
        for label in sorted(self.having, key=lambda label: (len(self.having[label]), label)):
            found = self.having[label]
            sides = {self.side[n] for n in found}
            if len(found) < 2 or len(sides) == 2:
                continue
            free = [n for n in found if not any(self._is_last(n, c) for c in self.classes[n])]
            if free:
                n = min(free, key=lambda n: (len(self.classes[n]), len(self.groups[n])))
                self.side[n] = 1 - self.side[n]
        if len(sides := set(self.side.values())) == 1:
            n = min(self.side, key=lambda n: (sum(self.classes[n].values()), len(self.groups[n])))
            self.side[n] = 1 - sides.pop()

    def _is_last(self, n: int, label: int) -> bool:
        """Whether a class would be on one side alone without this group."""
        same = sum(self.side[m] == self.side[n] for m in self.having[label])
        return same == 1

    @property
    def held(self) -> set[str]:
        return {
            image.path for n, group in enumerate(self.groups) if self.side[n] for image in group
        }
