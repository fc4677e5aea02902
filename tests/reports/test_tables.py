"""Rows of the tables: shares, totals, and cells that mean what the space says."""

import pytest
from made_run import ARCH, CHOICES, LAYERS, board

from cream_mm.costs import build_cost_model
from cream_mm.reports import tables
from cream_mm.reports.style import KERNEL_COLORS, PLAIN_COLOR
from cream_mm.reports.tables import board_rows, cost_table
from cream_mm.spaces import NAOSpace


def test_cost_table():
    table = cost_table(LAYERS, 10.0)
    assert [row['share'] for row in table['rows']] == pytest.approx([10, 5, 20, 40, 20, 4, 1])
    assert [row['bar'] for row in table['rows']][2:4] == [50, 100]
    assert (table['macs_m'], table['params_k'], table['stated']) == (10.0, 18.64, None)
    # The stem, four stages, the classifier.
    assert [row['starts_group'] for row in table['rows']] == [1, 1, 1, 0, 1, 1, 1]
    assert cost_table(LAYERS, 12.0)['stated'] == 12.0 and cost_table([], 12.0) is None
    assert cost_table([{}], None)['rows'][0]['share'] == 0.0


def test_cells_of_several_kinds_have_a_row_for_each_operation():
    """What all cells of a stage do alike, with its counts; sums stay those of the layers."""
    space = NAOSpace(channels=4, num_cells=2)
    text = '1 0 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
    costs = build_cost_model(space, 32, 10)
    layers, arch = costs.layer_table(space.parse(text)), space.parse(text)
    table = cost_table(layers, costs.cost(arch).in_units()['macs_m'])
    assert table['stated'] is None and table['num_layers'] == len(layers)
    assert table['params_k'] == costs.cost(arch).params / 1e3
    rows = [row for row in table['rows'] if row['name'] == 'cells 0-1, normal']
    assert [row['op'] for row in rows] == ['conv1x1', '5 × sep_conv_3x3', '2 × sep_conv_5x5']
    kernels = [row for row in layers if row['name'].startswith('cells.0-1.') and row['kernel'] == 5]
    assert rows[2]['macs_m'] == sum(row['macs'] for row in kernels) / 1e6
    assert [row['in_channels'] for row in rows] == [None, 4, 4]
    (one,) = [r for r in table['rows'] if r['name'] == 'cell 2, reduction' and r['kernel'] == 5]
    assert (one['op'], one['stride'], one['starts_group']) == ('2 × sep_conv_5x5', 2, False)
    assert cost_table([dict(cell='odd', macs=1)], None)['rows'][0]['name'] == 'cell 0, odd'


def test_the_cells_of_a_board_mean_what_the_space_says():
    first, second = board_rows(board()['entries'][::-1], CHOICES, ARCH, [])
    assert (first['rank'], first['chosen'], second['chosen']) == (1, False, True)
    # Choices 3, 4 | 1: kernel 5 and expansion 6, kernel 7 and 4, kernel 3 and 6.
    assert [(cell['x'], cell['height']) for cell in second['strip']] == [(0, 24), (9, 16), (23, 24)]
    assert [cell['color'] for cell in second['strip']] == [KERNEL_COLORS[k] for k in (5, 7, 3)]
    assert {cell['color'] for cell in first['strip']} == {PLAIN_COLOR}  # identities
    (unknown, _) = board_rows(board()['entries'], [], ARCH, [])
    assert {cell['height'] for cell in unknown['strip']} == {8}


def test_a_board_ends_with_what_a_page_can_show(monkeypatch):
    monkeypatch.setattr(tables, 'MAX_CELLS', 14)  # three boards of five, less one cell
    notes = []
    assert len(board_rows(board()['entries'] * 3, CHOICES, ARCH, notes)) == 2
    assert notes == ['Board: the 4 paths after the first 2.']


def test_a_board_of_cells():
    """No list stands for what is not chosen, and the kernels are in the words."""
    words = ('none', 'skip', '1×1', '3×3', 'avg')
    entry = dict(rank=1, arch=[[3], [0, 2], [4, 1, 3]])
    (row,) = board_rows([entry], [], entry['arch'], [], words=words, fixed_ends=False)
    assert row['stages'] == ['3×3', 'none 1×1', 'avg skip 3×3'] and row['chosen']
    colors = [cell['color'] for cell in row['strip']]
    assert colors == [KERNEL_COLORS[3], *[PLAIN_COLOR] * 4, KERNEL_COLORS[3]]
