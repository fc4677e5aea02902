"""The drawing: everything inside it, nothing upon something else, shape and colour with meaning."""

import pytest
from made_run import LAYERS

from cream_mm.costs import build_cost_model
from cream_mm.reports.arch_diagram import draw_arch
from cream_mm.spaces import NAOSpace, NASBench201Space


@pytest.mark.parametrize('copies', [1, 3, 12])
def test_drawing_stays_inside_and_boxes_do_not_overlap(copies):
    stages = [
        dict(part, name=f'{part["name"]}.{i}', stage=10 * i + (part['stage'] or 9))
        for i in range(copies)
        for part in LAYERS
    ]
    drawing = draw_arch(stages, [224, 224])
    boxes = drawing['boxes']
    assert len(boxes) == len(stages)
    for box in boxes:
        assert box['x'] >= 0 and box['x'] + box['width'] <= drawing['width']
        assert box['y'] >= 0 and box['y'] + box['height'] <= drawing['height']
    for a, b in zip(boxes, boxes[1:], strict=False):
        assert a['x'] + a['width'] < b['x'] or a['middle'] < b['middle']


def test_height_shows_expansion_and_colour_shows_kernel():
    boxes = {b['tip'].split(':')[0]: b for b in draw_arch(LAYERS)['boxes']}
    assert boxes['blocks.1.0']['height'] > boxes['blocks.1.1']['height'] > boxes['stem']['height']
    assert boxes['blocks.2.0']['color'] == boxes['stem']['color']
    assert len({boxes[f'blocks.{i}']['color'] for i in ('1.0', '1.1', '2.0', '3.0')}) == 4


def test_cells_are_one_box_a_stage():
    space = NASBench201Space(num_cells=5)
    layers = build_cost_model(space, 32, 10).layer_table(space.decode([3, 1, 0, 2, 4, 3]))
    drawing = draw_arch(layers, [32, 32])
    words = [(box['first'], box['second']) for box in drawing['boxes']]
    cells, residual = ('5 ×', 'cell'), ('res', '')
    assert words == [('3×3', ''), cells, residual, cells, residual, cells, ('BN', ''),
                     ('pool', ''), ('fc', '')]  # fmt: skip
    titles = [label['title'] for label in drawing['labels']]
    assert titles[:3] == ['Stem', 'Stage 1', 'Residual'] and titles[-3] == 'Last BN'
    macs = sum(row['macs'] for row in layers if row.get('edge') and row['stage'] == 1)
    assert drawing['boxes'][1]['tip'].endswith(f'{macs / 1e6:.2f} M MACs')
    odd = [dict(edge='0->1', stage=1, name='x' * 50, macs=None)]
    assert draw_arch(odd)['boxes'][0]['first'] == '1 ×'


def test_cells_of_several_kinds():
    """A box for each reduction cell and one for the normal cells behind it, with their maps."""
    space = NAOSpace(num_cells=3)
    arch = space.parse(
        '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
    )
    drawing = draw_arch(build_cost_model(space, 32, 10).layer_table(arch), [32, 32])
    words = [(box['first'], box['second'], box['stride']) for box in drawing['boxes']]
    normal, reduction = ('3 ×', 'normal', 1), ('1 ×', 'reduce', 2)
    assert words[1:-2] == [normal, reduction, normal, reduction, normal]
    labels = [(label['title'], label['channels'], label['size']) for label in drawing['labels']]
    assert labels[1:4] == [
        ('Stage 1', '80 ch', '32×32'), ('Stage 2', '160 ch', '16×16'), ('Stage 3', '320 ch', '8×8'),
    ]  # fmt: skip
    assert drawing['boxes'][2]['tip'].startswith('stage 2: cells, 80 → 160 channels')
