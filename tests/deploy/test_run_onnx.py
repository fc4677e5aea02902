"""The stand-alone script: what OpenMMLab's steps do, without OpenMMLab."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from cream_mm.datasets.transforms.load_image import LoadImage
from cream_mm.deploy import run_onnx
from cream_mm.deploy.onnx_file import resize_of
from cream_mm.deploy.parity import noise

BOXES = dict(
    boxes=np.array([[[10, 20, 30, 44], [0, 0, 99, 99], [1, 2, 3, 4], [0, 0, 0, 0]]], np.float32),
    scores=np.array([[0.9, 0.5, 0.1, 0]], np.float32),
    labels=np.array([[1, 0, 1, -1]]),
)


def about_of(steps, fixed=None, **kwargs):
    size = dict(size=fixed, dynamic=['batch']) if fixed else dict(size=[8, 8], dynamic=['size'])
    return dict(resize=resize_of(steps, **kwargs), input=size)


def by_pipeline(steps, image):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        found = Compose(steps)(dict(img=image[..., ::-1].copy(), img_shape=image.shape[:2]))
    return found['img'][..., ::-1].astype(float)


@pytest.mark.parametrize('shape', [(40, 61), (61, 40), (23, 23)])
@pytest.mark.parametrize(
    'steps, most',
    [
        ([dict(type='ResizeEdge', scale=19), dict(type='CenterCrop', crop_size=(14, 12))], 0),
        ([dict(type='ResizeEdge', scale=90)], 1),
        ([dict(type='ResizeEdge', scale=29, interpolation='bicubic', backend='pillow'),
          dict(type='CenterCrop', crop_size=24)], 0),
        ([dict(type='Resize', scale=(22, 20))], 0),
        ([dict(type='Resize', scale=(50, 32), keep_ratio=True, backend='pillow')], 0),
        ([dict(type='Resize', scale=(50, 50), keep_ratio=True),
          dict(type='Pad', size=(50, 50), pad_val=dict(img=(7, 8, 9)))], 1),
        ([dict(type='Resize', scale=(50, 32), keep_ratio=True),
          dict(type='Pad', size_divisor=16)], 1),
    ],
)  # fmt: skip
def test_an_image_is_prepared_as_the_pipeline_does(steps, most, shape):
    """OpenCV's bilinear to the bit where an image becomes smaller, to a level of 255 elsewhere."""
    image = noise(1, shape)[0]
    pixels, _ = run_onnx.prepare(image, about_of(steps))
    expected = by_pipeline(steps, image).transpose(2, 0, 1)
    assert pixels.shape == (1, *expected.shape) and pixels.dtype == np.float32
    off = np.abs(pixels[0] - expected)
    assert off.max() <= most and off.mean() < 0.02


def test_what_is_fixed_is_padded_on_the_right_and_below_and_boxes_find_back():
    image = np.full((60, 30, 3), 200, np.uint8)  # upright, for a lying input
    about = about_of([dict(type='Resize', scale=(80, 40), keep_ratio=True)], [40, 80],
                     value=(1, 2, 3))  # fmt: skip
    pixels, scale = run_onnx.prepare(image, about)
    assert pixels.shape == (1, 3, 40, 80)
    assert (pixels[0, :, :40, :20] == 200).all()
    assert (pixels[0, :, :, 20:] == np.reshape([1, 2, 3], (3, 1, 1))).all()
    assert scale == (20 / 30, 40 / 60)
    about |= dict(classes=['hat', 'cup'], task='detection')
    found = run_onnx.boxes_of(BOXES, scale, image.shape, about, 0.3)
    assert found == [
        ('cup', pytest.approx(0.9), (15.0, 30.0, 30.0, 60.0)),  # 45 and 66 lie outside
        ('hat', 0.5, (0.0, 0.0, 30.0, 60.0)),
    ]
    with pytest.raises(ValueError, match='takes images of 9 x 9 pixels; this one is 8 x 8'):
        run_onnx.prepare(np.zeros((8, 8, 3), np.uint8), about_of([], [9, 9]))


def test_photographs_are_turned_upright_and_have_three_channels(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(
        run_onnx.open_photograph(tmp_path / 'a.png'), np.rot90(pixels, -1)
    )
    Image.fromarray(np.full((2, 2), 0x8000, np.uint16)).save(tmp_path / 'b.png')
    assert (run_onnx.open_photograph(tmp_path / 'b.png') == 0x80).all()
    Image.fromarray(pixels[..., 0]).save(tmp_path / 'c.png')
    assert run_onnx.open_photograph(tmp_path / 'c.png').shape == (2, 4, 3)


@pytest.mark.filterwarnings('ignore:an image has pixels of 32 bits')
@pytest.mark.parametrize('high', [0.75, 200.0, 60000.0, 200, 60000])
def test_pixels_of_32_bits_are_those_that_the_network_was_trained_on(tmp_path, high):
    values = np.linspace(0, high, 24).reshape(4, 6)
    kind = np.float32 if isinstance(high, float) else np.int32
    Image.fromarray(values.astype(kind)).save(tmp_path / 'a.tif')
    trained = LoadImage().transform(dict(img_path=str(tmp_path / 'a.tif')))['img']
    found = run_onnx.open_photograph(tmp_path / 'a.tif')
    assert found.max() > 150
    np.testing.assert_array_equal(found, trained[..., ::-1])


def test_boxes_are_drawn_and_each_photograph_has_a_file(tmp_path):
    names = run_onnx.drawings(['a/x.jpg', 'b/x.png', 'c/y.jpg', 'x.jpg'], 'out')
    assert names == [os.path.join('out', f'{n}.png') for n in ('x', 'x_2', 'y', 'x_3')]
    assert run_onnx.drawings(['a.jpg'], None) == [None]
    image = np.zeros((40, 60, 3), np.uint8)
    run_onnx.draw(image, [('cup', 0.9, (10.2, 12.0, 50.0, 38.0))], tmp_path / 'a.png', ['cup'])
    drawn = np.asarray(Image.open(tmp_path / 'a.png'))
    assert drawn[30, 10].tolist() == list(run_onnx.COLOURS[0]) and not drawn[30, 5].any()
    found = [(name, 0.9, (10, top, 50, top + 9)) for name, top in (('b', 1), ('á', 11), ('b', 21))]
    run_onnx.draw(image, found, tmp_path / 'a.png', ['b', 'á'])
    drawn = np.asarray(Image.open(tmp_path / 'a.png'))
    colours = [drawn[y, 10].tolist() for y in (6, 16, 26)]  # left sides
    assert colours == [list(run_onnx.COLOURS[i]) for i in (0, 1, 0)]


def test_labels_that_are_there_and_the_surest_classes():
    about = dict(task='multi-label', classes=['a', 'b', 'c'], test_cfg=dict(threshold=0.5))
    values = np.array([0.5, 0.2, 0.9], np.float32)
    assert [name for name, _ in run_onnx.best_classes(values, about, 1)] == ['c', 'a']
    assert run_onnx.best_classes(values, dict(about, task='classification'), 2) == [
        ('c', pytest.approx(0.9)), ('a', 0.5)
    ]  # fmt: skip


def test_of_a_folder_its_images_in_order(tmp_path):
    for name in ('b/c.JPG', 'b/.d.jpg', '.e/f.jpg', 'g.png', 'a.jpg', 'notes.txt', 'h/i.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = run_onnx.find_images(['z.jpg', str(tmp_path)])
    assert found == ['z.jpg', *(str(tmp_path / name) for name in ('a.jpg', 'g.png', 'b/c.JPG'))]
    with pytest.raises(ValueError, match='there is no image in the folder .*h'):
        run_onnx.find_images([str(tmp_path / 'h')])
    with pytest.raises(ValueError, match='is a folder: name a file first, as in .*/model.onnx'):
        run_onnx.open_network(str(tmp_path))


def test_it_says_what_is_wrong(tmp_path):
    script = Path(run_onnx.__file__)
    result = subprocess.run(
        [sys.executable, str(script), 'missing.onnx', 'a.jpg'], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.strip() == 'error: there is no file missing.onnx'
