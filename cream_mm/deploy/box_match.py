"""Boxes of two programs for the same image, matched by class and place and not by their order.

Two runs of one detector in float32 differ in the last digits. A box whose score is at a threshold,
or whose IoU with a better one is at the limit of the suppression, may then be there in one of them
only, and so may what it suppresses. Such a box is excused; any other one is not.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

SCORE, IOU, PIXELS = 1e-4, 2e-3, 0.1
"""What float32 explains: of scores, of IoUs, of corners."""
EXCUSED = 2, 0.05
"""So many boxes, and beyond them this share, may be excused: rounding decides of few."""


class Rows(NamedTuple):
    """What a detector says of one image."""

    boxes: np.ndarray  # (n, 4), x1 y1 x2 y2 in pixels
    scores: np.ndarray  # (n,), 0 to 1
    labels: np.ndarray  # (n,)


@dataclass
class Agreement:
    """How far two programs agree on an image, or several.

    Attributes:
        pairs (int): Boxes that both have.
        score, corner (float): The largest differences of those, the latter in pixels.
        excused (int): Boxes of one side for which rounding is the reason.
        unexplained (list[str]): A line for each other box of one side.
    """

    pairs: int = 0
    score: float = 0.0
    corner: float = 0.0
    excused: int = 0
    unexplained: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether rounding explains what differs. Boxes that all moved a little would pass for
        equal candidates, one by one, but they are too many for that."""
        number, share = EXCUSED
        few = self.excused <= number + share * (self.pairs + self.excused)
        return not self.unexplained and few

    def add(self, other: 'Agreement') -> None:
        """Count another image, too."""
        self.pairs += other.pairs
        self.score, self.corner = max(self.score, other.score), max(self.corner, other.corner)
        self.excused += other.excused
        self.unexplained += other.unexplained


def match_boxes(
    ours: Rows,
    theirs: Rows,
    *,
    iou_threshold: float,
    score_threshold: float = 0.0,
    most: int | None = None,
    least_side: float = 0.0,
    class_agnostic: bool = False,
    ties: bool = False,
) -> Agreement:
    """Match the boxes of two programs for one image.

    Args:
        ours, theirs (Rows): Of the same image.
        iou_threshold (float): That of the suppression.
        score_threshold (float): Boxes that are no better are none. Defaults to 0.
        most (int, optional): How many boxes each side gives at most.
        least_side (float): Boxes with a shorter side are none, in pixels. Defaults to 0.
        class_agnostic (bool): Whether boxes suppress those of other classes. Defaults to False.
        ties (bool): Excuse a box whose score others have, too: of a uniform image any of many
            equal candidates may be taken. Defaults to False.

    >>> one = Rows(np.array([[0, 0, 9, 9.0]]), np.array([0.7]), np.array([3]))
    >>> other = one._replace(labels=np.array([4]))
    >>> match_boxes(one, one, iou_threshold=0.5).pairs
    1
    >>> match_boxes(one, other, iou_threshold=0.5).unexplained[0]
    'only ours: class 3, score 0.700000, box 0.0 0.0 9.0 9.0'
    """
    found, alone = _pairs(ours, theirs)
    sides = (ours, theirs)
    # (side, row) of boxes that the other side does not have, the best ones first.
    open_ = sorted(
        ((side, row) for side in (0, 1) for row in alone[side]),
        key=lambda item: -sides[item[0]].scores[item[1]],
    )
    excused: set[tuple[int, int]] = set()
    for item in open_:
        side, row = item
        score, box = sides[side].scores[row], sides[side].boxes[row]
        other = sides[1 - side]
        full = most is not None and len(other.scores) >= most
        near = score <= score_threshold + SCORE
        near |= full and score <= other.scores.min() + SCORE
        near |= float((box[2:] - box[:2]).min()) <= least_side + PIXELS
        if ties:
            equal = [np.abs(rows.scores - score) <= SCORE for rows in sides]
            near |= sum(map(np.count_nonzero, equal)) > 1
        if near or _suppressed(item, sides, alone, excused, iou_threshold, class_agnostic):
            excused.add(item)
    found.excused = len(excused)
    for side, row in open_:
        if (side, row) not in excused:
            rows, name = sides[side], ('ours', 'theirs')[side]
            corners = ' '.join(f'{x:.1f}' for x in rows.boxes[row])
            found.unexplained.append(
                f'only {name}: class {rows.labels[row]}, score {rows.scores[row]:.6f}, '
                f'box {corners}'
            )
    return found


def _pairs(ours: Rows, theirs: Rows) -> tuple[Agreement, tuple[set[int], set[int]]]:
    """Boxes that both have, and the rows that only one side has.

    Of a class, the pair whose corners differ least goes first.
    """
    found, alone = Agreement(), (set(range(len(ours.scores))), set(range(len(theirs.scores))))
    for kind in np.intersect1d(ours.labels, theirs.labels):
        mine, yours = (np.flatnonzero(rows.labels == kind) for rows in (ours, theirs))
        corner = np.abs(ours.boxes[mine][:, None] - theirs.boxes[yours][None]).max(axis=-1)
        score = np.abs(ours.scores[mine][:, None] - theirs.scores[yours][None])
        # A box that moved too far, or whose score did, is not the same one.
        for place in np.argsort(corner + score, axis=None):
            i, j = divmod(int(place), len(yours))
            if corner[i, j] > PIXELS or score[i, j] > SCORE:
                continue
            if mine[i] in alone[0] and yours[j] in alone[1]:
                alone[0].discard(int(mine[i]))
                alone[1].discard(int(yours[j]))
                found.pairs += 1
                found.corner = max(found.corner, float(corner[i, j]))
                found.score = max(found.score, float(score[i, j]))
    return found, alone


def _suppressed(item, sides, alone, excused, threshold, class_agnostic) -> bool:
    """Whether a box of the other side explains that it does not have this one."""
    side, row = item
    boxes, scores, labels = sides[side]
    box, score, label = boxes[row], scores[row], labels[row]
    other = sides[1 - side]
    overlap = iou(box, other.boxes)
    rivals = (overlap > threshold - IOU) & (other.scores >= score - SCORE)
    if not class_agnostic:
        rivals &= other.labels == label
    for rival in np.flatnonzero(rivals):
        if overlap[rival] < threshold + IOU:
            return True  # at the limit: suppressed there and not here
        # Here the rival is not, there it suppresses this one.
        if rival in alone[1 - side] and (
            other.scores[rival] <= score + SCORE or (1 - side, int(rival)) in excused
        ):
            return True
    return False


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Of a box (4,) and others (n, 4): (n,)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return both / np.maximum((box[2:] - box[:2]).prod() + areas - both, 1e-9)
