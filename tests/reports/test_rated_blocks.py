"""Rated blocks in a report: where each candidate stands, and what is said of them."""

import json
import re

import numpy as np
import pytest
from made_run import (  # noqa: F401  the fixtures are used
    answer_of_blocks,
    block_ratings,
    front,
    retrain_dir,
    sections,
    text_of,
    write_json,
    write_scalars,
)

from cream_mm.costs import build_cost_model
from cream_mm.files.block_ratings import read_block_space
from cream_mm.reports import figures
from cream_mm.reports import rated_blocks as module
from cream_mm.reports.figures import draw_blocks, draw_search
from cream_mm.reports.rated_blocks import Blocks
from cream_mm.reports.search_report import SearchReport


@pytest.fixture
def file(tmp_path):
    write_json(tmp_path / 'block_ratings.json', block_ratings())
    return tmp_path / 'block_ratings.json'


def costs_of(space, cells, choices):
    model = build_cost_model(space, 28)
    return model.cost(space.answer(cells, choices)).macs / 1e6


def test_each_candidate_costs_what_it_would_in_the_answer(file):
    """Against whole networks: two candidates differ by what their networks differ."""
    space, found = read_block_space(file), Blocks(file, answer_of_blocks(), [])
    assert (found.num_blocks, found.num_candidates, found.num_images) == (2, 48, 500)
    first, second = found.panels
    assert [(c.layers, c.width, len(c.ratings)) for c in first.cells] == [(1, 16, 6), (2, 24, 36)]
    pairs = [(3, 4), (0, 0), (5, 1)]
    of_cell = first.cells[1].costs
    for a, b in pairs:
        whole = costs_of(space, [1, 0], [[a, b], [1]]) - costs_of(space, [1, 0], [[3, 4], [1]])
        assert of_cell[6 * a + b] - of_cell[6 * 3 + 4] == pytest.approx(whole, abs=1e-9)
    # The second block begins with the 24 channels of the answer's cell, not with the other's 16.
    for choice in range(6):
        whole = costs_of(space, [1, 0], [[3, 4], [choice]]) - costs_of(space, [1, 0], [[3, 4], [0]])
        ours = second.cells[0].costs[choice] - second.cells[0].costs[0]
        assert ours == pytest.approx(whole, abs=1e-9)
    # 3 4 is candidate 22 of its cell; 6 + 22 .. of all 42 that are better: 0.5, .75, 1, 1.25, 1.5
    # and the 13 behind it.
    assert first.chosen == (of_cell[22], 2 - 22 / 64) and second.chosen[1] == 2.5
    assert (first.place, second.place) == (1 + 5 + 13, 1)


def test_the_best_up_to_each_cost(file):
    found = Blocks(file, answer_of_blocks(), [])
    for panel in found.panels:
        costs = np.concatenate([cell.costs for cell in panel.cells])
        ratings = np.concatenate([cell.ratings for cell in panel.cells])
        expected = sorted({
            (c, r) for c, r in zip(costs, ratings)
            if not any(
                (d <= c and s < r) or (d < c and s <= r) for d, s in zip(costs, ratings)
            )
        })  # fmt: skip
        assert list(zip(*panel.best)) == expected


def test_an_answer_of_another_space_is_not_marked(file):
    for space in ({}, dict(depths=[2, 2], widths=[24, 40]), dict(depths=[2], widths=[24])):
        found = Blocks(file, dict(answer_of_blocks(), space=space), [])
        assert not found.is_chosen and [panel.chosen for panel in found.panels] == [None, None]
    found = Blocks(file, dict(answer_of_blocks(), arch=[[0], [3, 9], [1], [0]]), [])
    assert [panel.chosen is None for panel in found.panels] == [True, False]


def test_of_many_an_even_sample_with_the_best_is_drawn(file, monkeypatch):
    monkeypatch.setattr(module, 'MAX_CANDIDATES', 5)
    notes = []
    found = Blocks(file, answer_of_blocks(), notes)
    drawn = np.concatenate([cell.ratings for cell in found.panels[0].cells])
    assert {0.5, 2.0, *found.panels[0].best[1]} <= set(drawn.tolist()) and len(drawn) < 15
    assert notes == [
        'Blocks: of each, 5 candidates are drawn, evenly by rating, and the best up to each cost.'
    ]
    assert 0 < found.num_hidden < 48


def test_candidates_that_diverged_do_not_squeeze_the_others(file):
    content = block_ratings()
    content['blocks'][0]['cells'][0]['ratings'][1] = 1e9
    write_json(file, content)
    notes = []
    found = Blocks(file, answer_of_blocks(), notes)
    assert max(cell.ratings.max() for cell in found.panels[0].cells) == 2.0
    assert notes == ['Blocks: 1 candidates whose maps are no finite numbers.']
    content['blocks'][1]['cells'][0]['ratings'] = [1e9] * 6  # all of a block
    write_json(file, content)
    assert draw_blocks(Blocks(file, answer_of_blocks(), []))


def test_one_panel_for_each_block(file, monkeypatch):
    monkeypatch.setattr(figures, 'to_svg', lambda fig, name, description: fig)
    fig = draw_blocks(Blocks(file, answer_of_blocks(), []))
    first, second = fig.axes
    assert [ax.get_title('left') for ax in fig.axes] == ['block 1', 'block 2']
    assert [ax.get_title('right') for ax in fig.axes] == ['★ 19 of 42', '★ 1 of 6']
    narrow, wide, star = first.collections
    assert (len(narrow.get_offsets()), len(wide.get_offsets())) == (6, 36)
    assert narrow.get_facecolor().tolist() != wide.get_facecolor().tolist()  # one and two layers
    chosen = Blocks(file, answer_of_blocks(), []).panels[0].chosen
    assert star.get_offsets().tolist() == [list(chosen)]
    assert fig.get_supylabel() == 'relative L1, lower is better'
    assert 'MACs' in fig.get_supxlabel() and second.collections[0].get_offsets()[0][1] == 3.0


def test_a_loss_for_each_block(monkeypatch):
    monkeypatch.setattr(figures, 'to_svg', lambda fig, name, description: fig)
    lines = {
        step: {'loss': 66.0, **{f'loss_block{i}': float(i) for i in range(1, 12)}}
        for step in range(1, 5)
    }
    (ax,) = draw_search(lines, {}).axes
    shown = [line for line in ax.lines if not line.get_label().startswith('_')]
    assert [line.get_label() for line in shown] == [f'loss_block{i}' for i in range(1, 12)]
    assert [line.get_ydata()[0] for line in shown] == list(range(1, 12))
    assert len({line.get_color() for line in shown}) == 11
    (ax,) = draw_search({1: dict(loss=1.0, loss_cls=0.5, loss_bbox=0.5)}, {}).axes
    assert {'loss', 'loss_cls', 'loss_bbox'} <= {line.get_label() for line in ax.lines}


# ---- the page ------------------------------------------------------------------------------------


def made_search(folder):
    write_json(folder / 'best_arch.json', answer_of_blocks())
    write_json(folder / 'block_ratings.json', block_ratings())
    content = front() | {'score': 'relative_l1', 'by': 'ratings'}
    rows = [content['answer'], *content['steps'], *content['references'][:3]]
    for i, row in enumerate(rows):
        row['rating'] = dict(score=4.15625 + i, num_images=500)
        row['space'] = dict(depths=[2, 1], widths=[24 + 8 * (i > 3), 40])
    write_json(folder / 'front.json', content)
    write_scalars(folder, '1', [{'loss': 3.0, 'loss_block1': 1.0, 'loss_block2': 2.0, 'step': 1}])
    return folder


def test_what_is_said_of_a_search_by_blocks(tmp_path, retrain_dir):  # noqa: F811
    report = SearchReport(made_search(tmp_path / 'run'))
    html = report.to_html()
    text = text_of(html)
    assert sections(html)[:3] == ['results', 'front', 'blocks'] and 'scatter' not in sections(html)
    for words in (
        'A network of 10.00 M multiply-adds: relative L1 4.156 in the search',
        'in 2 blocks: each learned to give a teacher’s feature maps, apart from the others.',
        'Each of their 48 candidates was rated by itself on 500 images, by its relative L1: error '
        'against the teacher’s maps.',
        'It was chosen by the sum of the ratings of its blocks, each on its own: 4.156, where 2 '
        'random networks average 9.656; lower is better.',
        'the network is to be trained from scratch',
        'relative L1 4.156 error against the teacher’s maps, lower is better; the sum over 2 '
        'blocks, 500 images',
        'relative L1, lower is better vs answer',
        '3 4 (24)',
        '2 × 24 means two layers of 24 channels',
    ):
        assert words in text, words
    story = text[: text.index('Result')]
    assert 'top-1' not in text and '%' not in story and 'classes' not in story
    assert not any('Scatter' in note for note in report.notes) and 'Board' not in text
    assert report.summary().endswith('  Search rating        relative L1 4.156')
    again = SearchReport(tmp_path / 'run', retrain_dir=retrain_dir)
    assert 'Trained as a network of its own, from scratch, it reaches 98.5 % top-1 (' in text_of(
        again.to_html()
    )


def test_the_answer_stands_once_among_networks_of_its_choices(tmp_path):
    """The same choices in another width are another network."""
    run = made_search(tmp_path / 'run')
    content = json.loads((run / 'front.json').read_text())
    twin = dict(content['answer'], bound=20, space=dict(depths=[2, 1], widths=[32, 40]))
    content['steps'] = [dict(content['answer'], bound=12), twin]
    write_json(run / 'front.json', content)
    rows = SearchReport(run).front.table()['rows']
    found = [(r['name'], r['stages'][1]) for r in rows if r['kind'] in ('front', 'answer')]
    assert found == [('up to 20 M', '3 4 (32)'), ('answer', '3 4 (24)')]


def test_some_blocks_alone_are_no_search_yet(tmp_path):
    write_json(tmp_path / 'block_ratings.json', block_ratings())
    with pytest.raises(FileNotFoundError, match=r'make no network yet.*test_cfg\.tables='):
        SearchReport(tmp_path)


def test_a_real_search(block_run):
    """The files of a run, in seconds: all networks of them stand in its page."""
    report = SearchReport(block_run)
    html = report.to_html()
    assert sections(html) == [
        'results', 'front', 'blocks', 'curves', 'architecture', 'cost', 'made', 'notes',
    ]  # fmt: skip
    assert report.notes == [
        'Retrained accuracy: pass --retrain DIR to add it.',
        'Detector mAP: pass --detector DIR to add it.',
    ]
    assert all(panel.chosen for panel in report.blocks.panels)
    total = sum(panel.chosen[1] for panel in report.blocks.panels)
    assert total == pytest.approx(report.best['rating']['value'], rel=1e-12)
    best = json.loads((block_run / 'best_arch.json').read_text())
    layers = [row['macs'] for row in best['layers'] if re.match(r'blocks\.[1-5]\.', row['name'])]
    macs_m = sum(panel.chosen[0] for panel in report.blocks.panels)
    assert macs_m == pytest.approx(sum(layers) / 1e6)
    assert 'loss_block5' in html and '8 images' in text_of(html)
