"""Figures: each value where it belongs, words that can be read, nothing squeezed."""

import numpy as np
import pytest
from made_run import best_arch, board, front, sections, write_json, write_scalars

from cream_mm.reports import figures
from cream_mm.reports.figures import curve_of, draw_front, draw_later, draw_scatter, draw_search
from cream_mm.reports.front import Front
from cream_mm.reports.metric import Metric
from cream_mm.reports.search_report import SearchReport


@pytest.fixture
def axes(monkeypatch):
    """What a drawing function returns, instead of text: the axes of its figure."""
    monkeypatch.setattr(figures, 'to_svg', lambda fig, name, description: fig.axes)


def points(ax):
    """Label -> [(x, y)] of what is drawn as points."""
    return {c.get_label().split(' (')[0]: c.get_offsets().tolist() for c in ax.collections}


def words(ax):
    return {text.get_text(): text for text in ax.texts}


def test_scatter(axes):
    rated = [dict(p, source=s) for p, s in zip(board()['rated'], ['effects', 'board'] * 2)]
    (ax,) = draw_scatter(rated, (10.0, 97.0), (None, 30.0), Metric())
    assert points(ax) == {
        'best training effects': [[14.0, 96.25], [7.0, 94.0]],
        'on the board': [[10.0, 97.0], [8.0, 95.0]],
        'chosen': [[10.0, 97.0]],
    }
    assert 'chosen: 10.00 M, 97.0 %' in words(ax)
    assert ax.get_xlim()[1] < 15  # 30 is far outside the points
    assert draw_scatter([], (10.0, 97.0), (None, None), Metric()) is None


def test_front(axes):
    (ax,) = draw_front(Front(front(), []))
    assert points(ax) == {
        'random path': [[8.5, 93.0], [9.5, 95.0]],
        'reference': [[7.0, 94.0]],
        'answer': [[10.0, 97.0]],
    }
    line = ax.lines[0]
    assert line.get_xydata().tolist() == [[7.5, 95.0], [10.0, 97.0], [15.0, 97.97]]
    assert set(words(ax)) == {'cheapest', 'wide', 'answer: 10.00 M, 97.0 %'}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ('MACs (M)', 'top-1 (%)')
    tick = ax.lines[1]  # the one without a rating
    assert tick.get_xydata().tolist() == [[14.0, 0.0], [14.0, 0.03]]
    low, high = ax.get_ylim()
    assert low < 93.0 and high > 97.97  # the ticks are no data
    assert {'budget, 5 to 20 M'} <= {p.get_label() for p in ax.patches}


def test_the_front_s_words_are_text_and_its_answer_needs_no_place_among_the_paths():
    content = front()
    del content['steps'][1]
    svg = draw_front(Front(content, []))
    for text in ('answer: 10.00 M, 97.0 %', 'best path up to a cost', 'random path (2)', 'wide'):
        assert f'>{text}</text>' in svg


def test_ticks_do_not_hide_each_other_and_reach_no_further_than_the_points(axes):
    content = front()
    unrated = dict(content['references'].pop(), rating=None)
    for name, macs_m in (('one', 12.0), ('two', 12.01), ('three', 9.0), ('huge', 900.0)):
        content['references'].append(dict(unrated, name=name, costs=dict(macs_m=macs_m)))
    content['budget'] = {}
    (ax,) = draw_front(Front(content, []))
    heights = {name: text.xyann[1] for name, text in words(ax).items()}
    assert heights['one'] == heights['three'] == 2 and heights['two'] == 13
    left, right = ax.get_xlim()
    assert right < 20 and words(ax)['huge →'].xy[0] == pytest.approx(right)


def test_a_front_without_ratings_or_costs_is_not_drawn():
    content = front()
    for row in (content['answer'], *content['steps'], *content['references']):
        row['rating'] = None
    assert draw_front(Front(content, [])) is None
    assert draw_front(Front(front() | {'cost': 'latency_ms'}, [])) is None


def test_the_names_of_costs_and_metrics_are_on_the_axes(axes):
    content = front() | {'cost': 'params_m', 'score': 'coco/bbox_mAP', 'higher_is_better': True}
    for row in (content['answer'], *content['steps'], *content['references'][:3]):
        row['rating'] = dict(score=0.25, num_images=10)
    (ax,) = draw_front(Front(content, []))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ('parameters (M)', 'box mAP (%)')
    assert 'answer: 0.019 M, 25.0 %' in words(ax)


def test_search_curves(axes):
    train = {
        step: dict(loss=3.0, train_top1=50.0, board_best=60.0, board_worst=40.0, epoch=step // 50)
        for step in range(1, 101)
    }
    losses, accuracies = draw_search(train, {1: {'accuracy/top1': 55.0}})
    raw, mean = losses.lines
    # A moving mean of a constant is that constant, at both ends, too.
    assert np.allclose(mean.get_ydata(), 3.0) and len(raw.get_ydata()) == 100
    shown = {line.get_label(): line for line in accuracies.lines}
    # Epoch 1 ended with step 99.
    assert shown['validation'].get_xydata().tolist() == [[99, 55.0]]
    assert shown['board, best'].get_ydata()[0] == 60.0
    assert draw_search({}, {}) is None


def test_later_curves(axes):
    first, second = draw_later([(1, 90.0), (2, 91.5)], [(1, 0.1), (2, 0.25)], [(2, 0.5)])
    assert first.lines[0].get_ydata() == pytest.approx([90.0, 91.5])
    assert {line.get_label(): list(line.get_ydata()) for line in second.lines} == {
        'mAP50': [50.0], 'mAP': [10.0, 25.0],
    }  # fmt: skip
    assert set(words(second)) == {'25.0', '50.0'} and set(words(first)) == {'91.5'}
    assert draw_later([], [], []) is None


def test_curve_of():
    lines = {1: dict(a=5.0), 2: dict(b=1.0), 4: dict(a=6.0, b=0.0)}
    assert curve_of(lines, 'a') == [(1, 5.0), (4, 6.0)] and curve_of(lines, 'c') == []


def test_curves_survive_unknown_and_non_finite_values(tmp_path):
    write_json(tmp_path / 'best_arch.json', best_arch())
    lines = [{'loss': float('nan'), 'train_top1': 50.0, 'mystery': 1.0, 'step': 1}]
    write_scalars(tmp_path, '20250101_000000', lines)
    html = SearchReport(tmp_path).to_html()
    assert 'curves' in sections(html) and 'mystery' not in html and 'learning rate' not in html


def test_scatter_of_a_metric(axes):
    mine = dict(source='random', metric='coco/bbox_mAP')
    rated = [dict(mine, macs_m=5.0, value=0.25), dict(mine, macs_m=8.0, value=0.5)]
    (ax,) = draw_scatter(rated, (8.0, 50.0), (None, None), Metric('coco/bbox_mAP'))
    assert points(ax) == {'random path': [[5.0, 25.0], [8.0, 50.0]], 'chosen': [[8.0, 50.0]]}
    assert ax.get_ylabel() == 'search rating, box mAP (%)'
