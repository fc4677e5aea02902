"""A front in numbers: its table, and what its two axes show."""

import pytest
from made_run import ARCH, front

from cream_mm.reports.front import MAX_PATHS, Front


def test_table():
    table = Front(front(), []).table()
    assert table['costs'] == ['MACs (M)', 'params (M)']
    assert [
        (r['name'], *r['costs'], r['cost_difference'], r['rating'], r['rating_difference'])
        for r in table['rows']
    ] == [
        ('cheapest', '7.00', '0.010', '−30.0 %', '94.0 %', '−3.0 points'),
        ('up to 8 M', '7.50', '0.010', '−25.0 %', '95.0 %', '−2.0 points'),
        ('random, mean of 2', '9.00', '0.010', '−10.0 %', '94.0 %', '−3.0 points'),
        ('answer', '10.00', '0.019', '+0.0 %', '97.0 %', '+0.0 points'),
        ('wide', '14.00', '–', '+40.0 %', '–', '–'),
        ('up to 16 M', '15.00', '0.010', '+50.0 %', '98.0 %', '+1.0 points'),
    ]
    stages = [row['stages'] for row in table['rows']]
    assert stages[3] == [' '.join(map(str, stage)) for stage in ARCH]
    assert stages[2] == stages[4] == []  # of several paths, and of one that is not known
    # What compared them stands beside what is shown; random ones as their mean.
    assert table['has_losses']
    losses = ['0.1200', '0.1000', '0.1200', '0.0600', '–', '0.0406']
    assert [row['loss'] for row in table['rows']] == losses


def test_slices_tell_their_images_and_their_share_of_the_full_network():
    content = front()
    cheapest = next(row for row in content['references'] if row['name'] == 'cheapest')
    rows = (content['answer'], *content['steps'], cheapest)
    for row, side in zip(rows, (32, 32, 32, 48, 48), strict=True):
        row.update(input_size=[side, side], slice_of=dict(arch=[], full_costs=dict(macs_m=20.0)))
    table = Front(content, []).table()
    assert table['has_sizes'] and table['has_shares']
    assert [(row['name'], row['size'], row['share']) for row in table['rows']] == [
        ('cheapest', '48×48', '35.0 %'), ('up to 8 M', '32×32', '37.5 %'),
        ('random, mean of 2', '–', '–'), ('answer', '32×32', '50.0 %'), ('wide', '–', '–'),
        ('up to 16 M', '48×48', '75.0 %'),
    ]  # fmt: skip
    # The same layers on smaller images are another network.
    content['steps'][1].update(input_size=[48, 48])
    assert len(Front(content, []).table()['rows']) == 7
    plain = Front(front(), []).table()
    assert not plain['has_sizes'] and not plain['has_shares']


def test_the_answer_stands_once_whether_or_not_it_is_on_the_front():
    for steps in (front()['steps'], front()['steps'][:1]):
        rows = Front(front() | {'steps': steps}, []).table()['rows']
        assert [row['name'] for row in rows if row['kind'] == 'answer'] == ['answer']
        assert sum(row['stages'] == ['0', '3 4', '1', '0'] for row in rows) == 1


@pytest.mark.parametrize(
    'score, higher, label, shown',
    [
        ('coco/bbox_mAP', True, 'box mAP (%)', '25.0 %'),
        ('coco/segm_mAP', True, 'coco/segm_mAP (%)', '25.0 %'),
        ('single-label/f1-score', True, 'single-label/f1-score', '0.25'),
        ('cross_entropy', False, 'cross entropy, lower is better', '0.25'),
    ],
)
def test_a_metric_is_shown_in_its_own_unit(score, higher, label, shown):
    content = front() | {'score': score, 'higher_is_better': higher}
    content['answer']['rating'] = dict(score=0.25, num_images=10)
    content['steps'][0]['rating'] = dict(score=0.2, num_images=20)
    shown_front = Front(content, [])
    rows = shown_front.table()['rows']
    assert shown_front.rating_label == label and rows[3]['rating'] == shown
    is_share = shown.endswith('%')
    assert rows[1]['rating_difference'] == ('−5.0 points' if is_share else '−20.0 %')
    assert shown_front.num_images is None  # not the same for all


def test_more_than_a_page_shows():
    content, notes = front(), []
    content['steps'] += [content['steps'][0]] * (MAX_PATHS + 4)
    content['references'] += [content['references'][1]] * (MAX_PATHS - 3)
    shown = Front(content, notes)
    assert len(shown.steps) == len(shown.references) == MAX_PATHS
    assert notes == ['Other budgets: the 7 last paths.', 'Other budgets: the 1 last references.']


def test_choices_in_words():
    content = front() | {'answer': front()['answer'] | {'arch': [[3], [0, 1], [4, 9, 2]]}}
    words = ('none', 'skip', '1×1', '3×3', 'avg')
    rows = Front(content, [], words).table()['rows']
    (answer,) = [row for row in rows if row['kind'] == 'answer']
    assert answer['stages'] == ['3×3', 'none skip', 'avg 9 1×1']  # 9: none of the words
