"""Images that are smaller than what the network is given."""

import numpy as np
import pytest
from PIL import Image

from cream_mm.config.enlarged_images import say_enlarged


@pytest.fixture
def paths(tmp_path):
    """Shorter sides of 40, 50 and 90 pixels, and a file that is no image."""
    sizes = [(60, 40), (50, 70), (90, 100)]
    for i, size in enumerate(sizes):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f'{i}.png')
    (tmp_path / 'broken.png').write_bytes(b'x')
    return sorted(tmp_path.iterdir())


def test_the_median_of_the_shorter_sides(paths):
    lines = []
    say_enlarged(paths, 64, lines.append)
    assert len(lines) == 1 and lines[0].startswith('input_size=64: the shorter side of the images')
    assert 'is 50 pixels' in lines[0]
    for enough in (50, 32, None, (64, 64)):
        say_enlarged(paths, enough, pytest.fail)
