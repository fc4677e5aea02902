"""A look at single pictures: their kinds by their content, sizes upright, bits of their look."""

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.picture_look import difference_hash, look_at_picture, look_at_pictures


def gradient(width=64, height=48, mode='RGB'):
    x = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.tile(x, (height, 1))).convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return look_at_picture(path)


def test_an_ordinary_picture(tmp_path):
    look = saved(tmp_path / 'a.jpg', gradient())
    assert (look.problem, look.width, look.height, look.kinds) == (None, 64, 48, ())
    assert look.small.shape == (32, 32, 3) and look.small.dtype == np.uint8


def test_a_hash_says_where_it_gets_brighter():
    assert difference_hash(gradient()) == 2**64 - 1
    assert difference_hash(gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


@pytest.mark.parametrize(
    ('name', 'mode', 'kinds'),
    [
        ('a.gif', 'P', {'palette'}),
        ('a.png', 'LA', {'alpha', 'grey'}),
        ('a.png', '1', {'binary'}),
        ('a.jpg', 'CMYK', {'cmyk'}),
        ('a.png', 'L', {'grey'}),
    ],
)
def test_modes(tmp_path, name, mode, kinds):
    assert set(saved(tmp_path / name, gradient(mode=mode)).kinds) == kinds


def test_transparency_counts_where_it_shows(tmp_path):
    image = gradient(mode='RGBA')
    assert saved(tmp_path / 'a.png', image).kinds == ('alpha',)
    image.putalpha(120)
    assert saved(tmp_path / 'a.png', image).kinds == ('see_through',)


def test_16_bits_frames_and_other_names(tmp_path):
    deep = Image.fromarray(np.full((8, 8), 3000, np.uint16))
    assert saved(tmp_path / 'a.png', deep).kinds == ('deep',)
    frames = [Image.new('RGB', (8, 8), (i, 0, 0)) for i in (9, 200)]
    look = saved(tmp_path / 'a.gif', frames[0], save_all=True, append_images=frames[1:])
    assert 'moving' in look.kinds
    assert saved(tmp_path / 'bmp.jpg', gradient(), format='BMP').kinds == ('other_name',)


def test_exif_turns_the_size(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    look = saved(tmp_path / 'a.jpg', gradient(), exif=exif)
    assert (look.width, look.height, look.kinds) == (48, 64, ('turned',))


def test_what_cannot_be_read_has_a_reason(tmp_path):
    gradient(400, 300).save(tmp_path / 'whole.jpg', quality=95)
    content = (tmp_path / 'whole.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(content[: len(content) // 2])
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'page.jpg').write_text('<html></html>')
    steps = []
    names = ('whole', 'cut', 'empty', 'page', 'gone')
    looks = look_at_pictures([str(tmp_path / f'{n}.jpg') for n in names], lambda: steps.append(1))
    assert len(steps) == 5
    whole, cut, empty, page, gone = (look.problem for look in looks)
    assert whole is None
    assert 'truncated' in cut
    assert empty == 'the file is empty'
    assert page.startswith('a web page')
    assert 'no file' in gone.lower()
