"""A report says why its answer is rated below random paths, for every way to choose one."""

import pytest

from cream_mm.files.arch_file import RULES
from cream_mm.reports.above_answer import above_answer
from cream_mm.reports.metric import Metric

ANSWER = [[0], [1]]


def path(choice, top1, loss, macs, vs=None, source='random'):
    told = None if vs is None else dict(mean=vs[0], error=vs[1])
    told = {} if told is None else dict(vs_answer=told)
    return dict(arch=[[0], [choice]], source=source, top1_pct=top1, loss=loss, macs_m=macs, **told)


def best(rule=None):
    choice = {} if rule is None else dict(rule=rule, notes=[])
    rating = dict(top1_pct=86.0, loss=0.50, num_images=400)
    return dict(arch=ANSWER, rating=rating, choice=choice, costs=dict(macs_m=2.0))


RATED = [
    path(1, 86.0, 0.50, 2.0, source='board'),  # the answer
    path(5, 99.0, 0.10, 2.0, source='board'),  # not random
    path(2, 86.5, 0.48, 2.5, (-0.02, 0.015)),
    path(3, 85.0, 0.46, 1.5, (-0.04, 0.03)),  # lower top-1, and better: cross entropy compares
    path(4, 87.0, 0.55, 1.5, (0.05, 0.01)),  # higher top-1, and worse
]


def test_nothing_is_said_where_no_random_path_stands_above_the_answer():
    assert above_answer(best('board'), RATED[:2], Metric()) == []
    worse = [*RATED[:2], path(2, 86.0, 0.5, 2.0), path(3, 80.0, 0.6, 2.0)]
    assert above_answer(best('board'), worse, Metric()) == []
    assert above_answer(best('random'), [path(1, 86.0, 0.5, 2.0)], Metric()) == []


def test_how_many_at_what_cost_and_whether_it_may_be_chance():
    found = above_answer(best('board'), RATED, Metric())
    assert found[0].startswith(
        '2 of 3 random paths are rated better than it by cross entropy, 1 of them at no greater '
        'cost. Random paths are there to compare with and are no candidates: the answer is the '
        'best-rated path of the board'
    )
    # 0.04 less, two standard errors are 0.06.
    assert found[1] == (
        'The best of them leads by 0.040 nats, 95 % interval -0.020 to 0.100: that may be chance.'
    )
    clear = [path(3, 88.0, 0.46, 1.5, (-0.04, 0.01))]
    one, told = above_answer(best('effects'), clear, Metric())
    assert one.startswith('1 of 1 random paths is rated better than it by cross entropy, at no ')
    assert '0.020 to 0.060: more than the choice of images explains' in told


def test_a_higher_top1_alone():
    (found,) = above_answer(best('board'), [RATED[0], RATED[4]], Metric())
    assert found.startswith('1 random path has a higher top-1 and a larger cross entropy, by which')


@pytest.mark.parametrize('rule', sorted(set(RULES) - {'random'}))
def test_each_way_to_choose_says_why(rule):
    text = above_answer(best(rule), RATED, Metric())[0]
    assert 'answer is ' in text
    assert ('no candidates' in text) == (rule != 'folds')


def test_metrics_and_files_that_tell_less():
    def detector(value, **more):
        return dict(arch=[[0], [2]], source='random', metric='coco/bbox_mAP', value=value, **more)

    answer = best('effects')
    answer['rating'] = dict(metric='coco/bbox_mAP', value=0.5, num_images=20)
    rated = [detector(0.4), detector(0.55, vs_answer=dict(mean=-0.05, error=0.03))]
    text, chance = above_answer(answer, rated, Metric('coco/bbox_mAP'))
    assert text.startswith('1 of 2 random paths is rated better than it by box mAP. ')
    assert (
        chance
        == 'It leads by 5.0 points of box mAP, 95 % interval -1.0 to 11.0: that may be chance.'
    )
    assert len(above_answer(answer, [detector(0.55)], Metric('coco/bbox_mAP'))) == 1
    # Errors: lower is better.
    answer['rating'] = dict(metric='relative_l1', value=3.0)
    rated = [dict(arch=None, source='random', metric='relative_l1', value=v) for v in (2.5, 4.0)]
    (text,) = above_answer(answer, rated, Metric('relative_l1'))
    assert text.startswith('1 of 2 random paths is rated better than it by relative L1.')
    # Of a slice, the search's own spelling tells which path is the answer itself.
    sliced = dict(best('combined'), arch=[[9]], slice_of=dict(arch=[[0], [2]]))
    assert above_answer(sliced, [path(2, 99.0, 0.1, 1.0)], Metric()) == []
