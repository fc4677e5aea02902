"""The picture shows the boxes where the diagram has them."""

import numpy as np
from matplotlib.colors import to_rgb

from cream_mm.reports.arch_diagram import draw_arch
from cream_mm.reports.arch_picture import FOOT, arch_picture
from cream_mm.structures.randomness import named_rng


def layers(number):
    rng = named_rng('layers of a picture', 0, 0)
    return [
        dict(
            name=f'stage{i // 4}.{i}', op='MBConv', stage=i // 4, kernel=int(rng.choice([3, 5, 7])),
            expand=int(rng.choice([4, 6])), in_channels=8, out_channels=8, stride=1, macs=1e6,
            out_size=[8, 8],
        )
        for i in range(number)
    ]  # fmt: skip


def test_each_box_has_its_colour_at_its_place():
    for number in (6, 40):  # one row, and several
        rows = layers(number)
        picture, diagram = arch_picture(rows, [32, 32]), draw_arch(rows, [32, 32])
        assert picture.shape == (2 * (diagram['height'] + FOOT), 2 * diagram['width'], 3)
        assert picture.dtype == np.uint8 and len(diagram['boxes']) == number
        for box in diagram['boxes']:  # two pixels for one; its words are in the middle
            x, y = 2 * (box['x'] + 6), 2 * (box['y'] + 8)
            assert np.abs(picture[int(y), int(x)] - 255 * np.array(to_rgb(box['color']))).max() < 1
        middle = diagram['lines'][0]
        assert (picture[int(2 * middle['y']), int(2 * (middle['x1'] + 4))] < 200).all()  # the line


def test_without_layers_there_is_no_picture():
    assert arch_picture([]) is None
