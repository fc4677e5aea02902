"""Small pictures inside a page."""

import base64
import io

from PIL import Image

from cream_mm.reports.thumbnail import thumbnail


def shown(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition('base64,')[2])))


def test_the_longer_side_is_that_or_half_of_it(tmp_path):
    for size, expected in (((400, 100), (160, 40)), ((100, 50), (100, 50)), ((20, 10), (80, 40))):
        path = tmp_path / 'picture.png'
        Image.new('RGB', size, (200, 30, 30)).save(path)
        image = shown(thumbnail(str(path), 160))
        assert image.size == expected
        assert all(abs(a - b) < 8 for a, b in zip(image.getpixel((5, 5)), (200, 30, 30)))


def test_no_picture(tmp_path):
    (tmp_path / 'text.jpg').write_text('no picture')
    assert thumbnail(str(tmp_path / 'text.jpg'), 160) is None
    assert thumbnail(str(tmp_path / 'missing.jpg'), 160) is None
