"""The drawing: everything inside it, nothing upon something else, shape and colour with meaning."""

import pytest
from made_run import LAYERS

from cream_mm.reports.arch_diagram import draw_arch


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
