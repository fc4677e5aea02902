import logging
import os
from io import BytesIO

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image, ImageFile

from cream_mm.datasets import ImageFolder, LoadImage
from cream_mm.datasets.transforms import load_image as module
from cream_mm.registry import TRANSFORMS
from cream_mm.testing import write_image_folder


@pytest.fixture
def warnings():
    """Messages of level WARNING that reach mmengine's logger."""
    messages = []

    class Keep(logging.Handler):
        def emit(self, record):
            if record.levelno == logging.WARNING:
                messages.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Keep()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def pixels():
    y, x = np.mgrid[:64, :48]
    rgb = np.stack([y * 3, x * 4, (x + y) * 2], -1)
    return (rgb + np.random.default_rng(0).integers(0, 40, rgb.shape)).astype(np.uint8)


def jpeg_of(pixels, **kwargs):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, 'jpeg', quality=95, **kwargs)
    return buffer.getvalue()


def write(path, content):
    path.write_bytes(content)
    return dict(img_path=str(path), gt_label=1)


def test_reads_bgr(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    results = LoadImage()(dict(img_path=str(tmp_path / 'a.png'), gt_label=1))
    assert results['img'].dtype == np.uint8 and results['img'].flags['C_CONTIGUOUS']
    assert np.array_equal(results['img'][..., ::-1], pixels)
    assert results['img_shape'] == results['ori_shape'] == (64, 48)
    assert results['gt_label'] == 1


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK', 'LA', '1'])
def test_other_modes_become_three_channels(tmp_path, pixels, mode):
    image = Image.fromarray(pixels).convert('L' if mode == 'LA' else 'RGB').convert(mode)
    path = tmp_path / ('a.tiff' if mode == 'CMYK' else 'a.png')
    image.save(path)
    results = LoadImage()(dict(img_path=str(path)))
    assert results['img'].shape == (64, 48, 3)
    expected = np.asarray(image.convert('RGB'))[..., ::-1]
    assert np.array_equal(results['img'], expected)


def test_exif_orientation_is_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    results = LoadImage()(write(tmp_path / 'a.jpg', jpeg_of(pixels, exif=exif)))
    assert results['img_shape'] == (48, 64)
    plain = LoadImage()(write(tmp_path / 'b.jpg', jpeg_of(pixels)))
    assert np.array_equal(results['img'], np.rot90(plain['img'], -1))


# --- damaged files ---


def test_truncated_is_skipped_in_training(tmp_path, pixels, warnings):
    content = jpeg_of(pixels)
    results = write(tmp_path / 'cut.jpg', content[: len(content) // 2])
    assert LoadImage()(results) is None
    assert len(warnings) == 1
    assert str(tmp_path / 'cut.jpg') in warnings[0] and 'skipped' in warnings[0]


def test_truncated_is_used_in_testing(tmp_path, pixels, warnings):
    content = jpeg_of(pixels)
    whole = LoadImage()(write(tmp_path / 'whole.jpg', content))['img']
    results = write(tmp_path / 'cut.jpg', content[: int(len(content) * 0.6)])
    img = LoadImage('partial')(results)['img']
    assert img.shape == whole.shape == (64, 48, 3)
    assert np.array_equal(img[:8], whole[:8])  # what was there
    assert not np.array_equal(img[-8:], whole[-8:])
    assert len(warnings) == 1
    assert str(tmp_path / 'cut.jpg') in warnings[0] and 'as far as it decodes' in warnings[0]


# ---- OpenCV for JPEGs that are whole, Pillow for all else --------------------------------------


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture
def by_pillow(monkeypatch):
    """Files that Pillow decodes."""
    contents, plain = [], module._decode_by_pillow
    monkeypatch.setattr(
        module, '_decode_by_pillow', lambda content: contents.append(content) or plain(content)
    )
    return contents


@pytest.mark.parametrize(
    'kwargs',
    [dict(), dict(progressive=True), dict(subsampling=0), dict(optimize=True, quality=30),
     dict(mode='L'), dict(restart_marker_rows=1), dict(exif=turned(1)), dict(exif=turned(6)),
     dict(exif=turned(7)), dict(icc_profile=bytes(range(256)) * 300)],
    ids=['plain', 'progressive', 'subsampling', 'quality', 'grey', 'restart', 'exif1', 'exif6',
         'exif7', 'icc'],
)  # fmt: skip
def test_both_decode_to_the_same_pixels(pixels, by_pillow, kwargs):
    mode = kwargs.pop('mode', 'RGB')
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, 'jpeg', **kwargs)
    ours = module.decode_image(buffer.getvalue())
    assert by_pillow == []
    assert np.array_equal(ours, module._decode_by_pillow(buffer.getvalue()))
    height, width = ours.shape[:2]
    assert (height < width) == ('exif' in kwargs and kwargs['exif'][0x0112] > 4)


def test_what_pillow_decodes(pixels, by_pillow, monkeypatch):
    def decodes(content):
        by_pillow.clear()
        module.decode_image(content)
        return bool(by_pillow)

    def saved(image, kind, **kwargs):
        buffer = BytesIO()
        image.save(buffer, kind, **kwargs)
        return buffer.getvalue()

    image = Image.fromarray(pixels)
    assert not decodes(jpeg_of(pixels))
    assert decodes(jpeg_of(pixels) + b'\0')  # something behind the end
    assert decodes(saved(image, 'png')) and decodes(saved(image, 'webp'))
    assert not decodes(saved(image.convert('CMYK'), 'jpeg'))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    assert decodes(saved(image, 'jpeg', xmp=xmp))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 64 * 48)
    assert not decodes(jpeg_of(pixels))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 64 * 48 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        assert decodes(jpeg_of(pixels))


def test_damaged_files_end_as_with_pillow_alone(pixels):
    """Bytes changed and files cut, at random: the same pixels, or no image."""
    rng = np.random.default_rng(0)
    contents = [jpeg_of(pixels), jpeg_of(pixels, progressive=True)]

    def outcome(decode, content):
        try:
            return decode(content)
        except (OSError, SyntaxError, ValueError):
            return None

    ends = []
    for i in range(600):
        content = bytearray(contents[i % 2])
        for at in rng.integers(2, len(content) - 2, 1 + i % 3):
            if i % 5:
                content[at] = rng.integers(0, 256)
            else:  # a marker with no place there: OpenCV gives half an image without a word
                content[at : at + 2] = 0xFF, rng.integers(1, 255)
        content = bytes(content if i % 7 else content[: rng.integers(3, len(content))])
        ours, theirs = (
            outcome(f, content) for f in (module.decode_image, module._decode_by_pillow)
        )
        assert (ours is None) == (theirs is None), i
        assert ours is None or np.array_equal(ours, theirs), i
        ends.append(ours is None)
    assert 100 < sum(ends) < 500


def test_an_image_that_is_there_is_taken(pixels):
    load = LoadImage()
    results = load(dict(img_path='train/ant/0.png', img=pixels, gt_label=1))
    assert results['img'] is pixels and results['img_shape'] == results['ori_shape'] == (64, 48)
    assert (load.num_read, load.num_failed) == (0, 0)


def test_whole_images_give_no_warning(tmp_path, pixels, warnings):
    for on_error in ('skip', 'partial'):
        assert LoadImage(on_error)(write(tmp_path / 'a.jpg', jpeg_of(pixels))) is not None
    assert warnings == []


@pytest.mark.parametrize(
    'content', [b'<html>404 not found</html>', b'', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'],
    ids=['text', 'empty', 'jpeg header', 'png header'],
)  # fmt: skip
def test_unreadable_file(tmp_path, warnings, content):
    results = write(tmp_path / 'page.jpg', content)
    assert LoadImage()(dict(results)) is None
    grey = LoadImage('partial')(dict(results))
    assert grey['img'].shape == (256, 256, 3) and (grey['img'] == 128).all()
    assert grey['img_shape'] == (256, 256)
    sized = LoadImage('partial')(dict(results, height=30, width=50))
    assert sized['img'].shape == (30, 50, 3) and sized['ori_shape'] == (30, 50)
    assert len(warnings) == 3 and all('page.jpg' in message for message in warnings)


def test_missing_file_is_reported(tmp_path, warnings):
    assert LoadImage()(dict(img_path=str(tmp_path / 'gone.jpg'))) is None
    assert len(warnings) == 1 and 'gone.jpg' in warnings[0]


@pytest.mark.parametrize('on_error', ['skip', 'partial'])
def test_special_files_neither_hang_nor_fill_the_memory(tmp_path, warnings, on_error):
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
    (tmp_path / 'folder.jpg').mkdir()
    (tmp_path / 'huge.jpg').touch()
    os.truncate(tmp_path / 'huge.jpg', 2**40)
    (tmp_path / 'text.jpg').symlink_to(__file__)
    load = LoadImage(on_error)
    for name in ('pipe', 'zero', 'folder', 'huge', 'text'):
        results = load(dict(img_path=str(tmp_path / f'{name}.jpg'), height=3, width=4))
        assert results is None if on_error == 'skip' else results['img'].shape == (3, 4, 3)
    assert len(warnings) == 5
    for kind, line in zip(('a pipe', 'a device', 'a folder', 'is too large'), warnings):
        assert kind in line


@pytest.mark.parametrize('size', [(10**6, 10**6), (-1, 5), ('7', 7), (None, 4), (2.5, 4)])
def test_a_size_that_an_annotation_file_tells_is_not_believed(tmp_path, warnings, size):
    results = dict(img_path=str(tmp_path / 'gone.jpg'), height=size[0], width=size[1])
    assert LoadImage('partial')(results)['img'].shape == (256, 256, 3)


def test_other_places_are_read_by_mmengine(tmp_path, pixels, monkeypatch):
    monkeypatch.setattr(module.fileio, 'get', {'s3://set/a.jpg': jpeg_of(pixels)}.get)
    assert LoadImage()(dict(img_path='s3://set/a.jpg'))['img_shape'] == (64, 48)


def test_each_file_is_reported_once(tmp_path, warnings):
    load = LoadImage()
    for _ in range(3):
        for name in ('a', 'b'):
            assert load(write(tmp_path / f'{name}.jpg', b'x')) is None
    assert len(warnings) == 2


def test_pillow_is_left_as_it_was(tmp_path, pixels):
    content = jpeg_of(pixels)
    LoadImage('partial')(write(tmp_path / 'cut.jpg', content[: len(content) // 2]))
    LoadImage('partial')(write(tmp_path / 'text.jpg', b'text'))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    # and is not what made the partial image possible elsewhere
    assert LoadImage()(write(tmp_path / 'cut.jpg', content[: len(content) // 2])) is None


def test_a_dataset_draws_another_image(tmp_path, warnings):
    root = write_image_folder(tmp_path, train=3)
    broken = root / 'train' / 'ant' / '001.jpg'
    broken.write_bytes(broken.read_bytes()[:300])
    training = ImageFolder(str(root), pipeline=[dict(type='cream_mm.LoadImage')])
    testing = ImageFolder(
        str(root), pipeline=[dict(type='cream_mm.LoadImageFromFile')], test_mode=True
    )
    np.random.seed(0)
    assert training.get_data_info(1)['img_path'] == str(broken)
    assert training[1]['img_path'] != str(broken)
    assert testing[1]['img_path'] == str(broken)
    assert all(str(broken) in message for message in warnings) and len(warnings) == 2


@pytest.mark.parametrize('on_error', ['skip', 'partial'])
def test_too_many_unreadable_files_stop(tmp_path, pixels, warnings, on_error):
    good, bad = write(tmp_path / 'a.jpg', jpeg_of(pixels)), write(tmp_path / 'bad.jpg', b'x')
    load = LoadImage(on_error)
    for i in range(200):  # a tenth is borne
        load(dict(bad if i % 10 == 9 else good))
    assert (load.num_failed, load.num_read) == (20, 200)
    with pytest.raises(ValueError, match='21 of 201 images could not be read, the last one .*bad'):
        load(dict(bad))
    assert '1 of 10 reads' in warnings[0]


def test_few_reads_say_nothing_about_the_share(tmp_path, warnings):
    load, bad = LoadImage(), write(tmp_path / 'bad.jpg', b'x')
    for _ in range(99):
        load(dict(bad))
    with pytest.raises(ValueError, match='100 of 100 images'):
        load(dict(bad))
    load = LoadImage(max_share=1.0)
    for _ in range(150):
        assert load(dict(bad)) is None


def test_the_name_that_inferencers_find(tmp_path, pixels, warnings):
    """No argument has to be written in a test pipeline, for none would fit what is put there."""
    content = jpeg_of(pixels)
    cut = write(tmp_path / 'cut.jpg', content[: len(content) // 2])
    load = TRANSFORMS.build(dict(type='cream_mm.LoadImageFromFile'))
    assert np.array_equal(load(dict(cut))['img'], LoadImage('partial')(dict(cut))['img'])
    assert repr(load) == "LoadImageFromFile(on_error='partial')"
    ready = np.ones((2, 3, 3), np.uint8)
    assert load(dict(img=ready, img_path='none'))['img'] is ready  # an inferencer has read it


def test_wrong_argument():
    with pytest.raises(ValueError, match='max_share is a share'):
        LoadImage(max_share=10)
    with pytest.raises(ValueError, match="'skip' or 'partial'; got 'ignore'"):
        TRANSFORMS.build(dict(type='cream_mm.LoadImage', on_error='ignore'))
    assert repr(LoadImage('partial')) == "LoadImage(on_error='partial')"


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'TIFF', 'WEBP', 'GIF', 'AVIF', 'JPEG'])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.GIF'])
def test_a_wrong_extension_makes_no_difference(tmp_path, pixels, kind, name):
    """What a browser or a messenger saved under another name, in exactly its pixels."""
    options = dict(lossless=True) if kind == 'WEBP' else {}
    image = Image.fromarray(pixels)
    image = image.quantize(16) if kind == 'GIF' else image
    image.save(tmp_path / name, kind, **options)
    with Image.open(tmp_path / name) as written:
        right = np.asarray(written.convert('RGB'))
    if kind in ('PNG', 'BMP', 'TIFF', 'WEBP'):
        assert np.array_equal(right, pixels)
    found = LoadImage()(dict(img_path=str(tmp_path / name)))['img'][..., ::-1]
    assert np.array_equal(found, right)
