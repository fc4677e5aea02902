"""Boxes that differ for a reason are excused, others are not."""

import numpy as np
import pytest

from cream_mm.deploy.box_match import Rows, match_boxes


def rows(*items):
    """Of (score, label, left, right): boxes as high as 10 pixels."""
    scores, labels, left, right = (np.array(part, float) for part in zip(*items))
    boxes = np.stack([left, 0 * left, right, 0 * left + 10], axis=1)
    return Rows(boxes, scores, labels.astype(int))


def found(ours, theirs, **options):
    match = match_boxes(rows(*ours), rows(*theirs), **dict(dict(iou_threshold=0.5), **options))
    return match.pairs, match.excused, len(match.unexplained)


A, B, C = (0.9, 0, 0, 10), (0.6, 0, 40, 50), (0.6, 1, 40, 50)


def test_the_order_of_equal_scores_does_not_matter():
    assert found([A, B, C], [A, C, B]) == (3, 0, 0)


@pytest.mark.parametrize(
    'other',
    [
        (0.6, 0, 46, 56),  # another place
        (0.6, 1, 40, 50),  # another class
        (0.61, 0, 40, 50),  # another score
    ],
)
def test_another_box_has_no_excuse(other):
    assert found([A, B], [A, other]) == (1, 0, 2)


def test_a_box_that_is_missing_has_no_excuse():
    assert found([A, B], [A]) == (1, 0, 1)
    # Not even where another one is near: it would not have been suppressed by it.
    assert found([A, (0.6, 0, 4, 14)], [A]) == (1, 0, 1)


def test_differences_of_what_both_have_are_told():
    match = match_boxes(rows(A), rows((0.90005, 0, 0.05, 10)), iou_threshold=0.5)
    assert match.score == pytest.approx(5e-5) and match.corner == pytest.approx(0.05)


def test_a_score_at_the_threshold():
    low = (0.05004, 0, 40, 50)
    assert found([A, low], [A], score_threshold=0.05) == (1, 1, 0)
    assert found([A, low], [A], score_threshold=0.04) == (1, 0, 1)


def test_the_last_row_of_a_full_side():
    assert found([A, B], [A, C], most=2) == (1, 2, 0)
    assert found([A, B], [A, C], most=3) == (1, 0, 2)


def test_an_overlap_at_the_limit():
    # Two boxes of 10 x 10 that are 10 / 3 apart have an IoU of 0.5.
    near = (0.6, 0, 10 / 3, 40 / 3)
    assert found([A, near], [A]) == (1, 1, 0)
    assert found([A, near], [A], iou_threshold=0.52) == (1, 0, 1)


def test_what_a_box_at_the_limit_suppresses():
    near, next_ = (0.6, 0, 10 / 3, 40 / 3), (0.5, 0, 5, 15)
    # Here the middle one is there and suppresses the last one; there it is not.
    assert found([A, near], [A, next_]) == (1, 2, 0)
    assert found([A, near], [A, (0.5, 0, 30, 40)]) == (1, 1, 1)


def test_two_equal_candidates_of_which_one_is_taken():
    assert found([(0.6, 0, 0, 10)], [(0.6, 0, 1, 11)]) == (0, 2, 0)
    assert found([(0.6, 0, 0, 10)], [(0.6, 1, 1, 11)]) == (0, 0, 2)
    assert found([(0.6, 0, 0, 10)], [(0.6, 1, 1, 11)], class_agnostic=True) == (0, 2, 0)


def test_boxes_that_all_moved_are_no_ties():
    many = [(0.9 - 0.02 * i, 0, 20 * i, 20 * i + 10) for i in range(20)]
    moved = [(score, label, left + 1, right + 1) for score, label, left, right in many]
    match = match_boxes(rows(*many), rows(*moved), iou_threshold=0.5)
    assert not match.unexplained and not match.agrees
    one = match_boxes(rows(*many), rows(*moved[:1], *many[1:]), iou_threshold=0.5)
    assert one.excused == 2 and one.agrees


def test_no_boxes_at_all():
    none = Rows(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert match_boxes(none, none, iou_threshold=0.5).pairs == 0
    assert len(match_boxes(rows(A), none, iou_threshold=0.5).unexplained) == 1
