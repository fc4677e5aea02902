"""Every kind of image against the pixels that it was made of."""

import struct
import warnings
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from cream_mm.datasets.pillow_image import (
    open_image,
    readable_extensions,
    remedy,
    upright_rgb,
    upright_size,
)
from cream_mm.datasets.transforms.load_image import decode_image

HEIGHT, WIDTH = 24, 32
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([Y * 10, X * 7, (X + Y) * 4], -1).astype(np.uint8)
GREY = (X * 8).astype(np.uint8)
GREY_16 = (X * 2048 + Y * 11).astype(np.uint16)  # 0 to 63741
ALPHA = ((X * 8 + Y) % 256).astype(np.uint8)  # 0 in the corner: the colour below it counts


def save(image, kind, **kwargs):
    buffer = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()


def write_png(rows, depth, color, *extra):
    """A PNG of packed rows, with further chunks, for what Pillow does not write."""

    def chunk(name, content):
        check = struct.pack('>I', zlib.crc32(name + content))
        return struct.pack('>I', len(content)) + name + content + check

    header = struct.pack('>IIBBBBB', WIDTH, HEIGHT, depth, color, 0, 0, 0)
    data = zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))
    chunks = chunk(b'IHDR', header), *(chunk(*e) for e in extra), chunk(b'IDAT', data)
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks) + chunk(b'IEND', b'')


def write_tiff(data, bits, *, order='<', photometric=1, sample=1, channels=1, **more):
    """An uncompressed TIFF of one strip; ``more``: tag_<number>=value."""
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: photometric, 277: channels,
            278: HEIGHT, 279: len(data), 339: sample}  # fmt: skip
    tags.update({int(key[4:]): value for key, value in more.items()})
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4  # where the pixels begin
    if channels > 1:  # as many numbers of bits, behind the pixels
        tags[258] = tags[273] + len(data)
    out = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8)
    out += struct.pack(order + 'H', len(tags))
    for tag, value in sorted(tags.items()):
        if tag == 258 and channels > 1:
            out += struct.pack(order + 'HHII', tag, 3, channels, value)
        else:
            short = tag in (258, 259, 262, 274, 277, 284, 339)
            kind = 'HHIHH' if short else 'HHII'
            values = (tag, 3, 1, value, 0) if short else (tag, 4, 1, value)
            out += struct.pack(order + kind, *values)
    out += bytes(4) + data
    return out + (struct.pack(f'{order}{channels}H', *[bits] * channels) if channels > 1 else b'')


def big(values):
    return values.astype('>u2')


def repeated(grey):
    return np.repeat(grey[..., None], 3, -1)


def rgb_of(content):
    return decode_image(content)[..., ::-1]


UPPER = repeated((GREY_16 >> 8).astype(np.uint8))
RGB_16 = RGB.astype(np.uint16) * 256 + 200  # rounded rather than cut, it would be RGB + 1
TWELVE = np.stack([GREY_16[:, ::2] >> 4, GREY_16[:, 1::2] >> 4], -1).reshape(HEIGHT, WIDTH)
TWELVE_BYTES = np.stack(  # two values in three bytes
    [TWELVE[:, ::2] >> 4, (TWELVE[:, ::2] & 15) << 4 | TWELVE[:, 1::2] >> 8, TWELVE[:, 1::2] & 255],
    -1,
).astype(np.uint8)
PALETTE = Image.fromarray(RGB).quantize(64)
IN_PALETTE = np.asarray(PALETTE.convert('RGB'))


# ---- 16 bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'right'),
    [
        (write_png(big(GREY_16), 16, 0), UPPER),
        (write_png(big(GREY_16), 16, 0, (b'tRNS', b'\x10\x00')), UPPER),
        (write_png(big(np.dstack([GREY_16, GREY_16 // 3])), 16, 4), UPPER),
        (write_png(big(RGB_16), 16, 2), RGB),
        (write_png(big(np.dstack([RGB_16, GREY_16])), 16, 6), RGB),
        (save(GREY_16, 'TIFF'), UPPER),
        (save(GREY_16, 'TIFF', compression='tiff_lzw'), UPPER),
        (save(GREY_16, 'JPEG2000'), UPPER),
        (write_tiff(big(GREY_16).tobytes(), 16, order='>'), UPPER),
        (write_tiff((65535 - GREY_16).tobytes(), 16, photometric=0), UPPER),
        (write_tiff((GREY_16 >> 1).tobytes(), 16, sample=2), UPPER >> 1),
        (write_tiff(TWELVE_BYTES.tobytes(), 12), repeated((TWELVE >> 4).astype(np.uint8))),
        (write_tiff(RGB_16.tobytes(), 16, photometric=2, channels=3), RGB),
        (b'P5 %d %d 65535\n' % (WIDTH, HEIGHT) + big(GREY_16).tobytes(), UPPER),
    ],
    ids=['png', 'png, transparent value', 'png, alpha', 'png, colour', 'png, colour and alpha',
         'tiff', 'tiff, lzw', 'jpeg 2000', 'tiff, big-endian', 'tiff, white is 0', 'tiff, signed',
         'tiff, 12 bits', 'tiff, colour', 'pgm'],
)  # fmt: skip
def test_of_more_than_8_bits_the_upper_8_are_taken(content, right):
    assert np.array_equal(rgb_of(content), right)


def test_opencv_cuts_16_bits_alike():
    """So that a config of mmdet's or mmpretrain's own loader sees the same."""
    for content in (write_png(big(GREY_16), 16, 0), save(GREY_16, 'TIFF')):
        theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(decode_image(content), theirs)


def test_16_bits_of_which_12_are_used_are_told():
    with pytest.warns(UserWarning, match='no value above 4095, and is nearly black'):
        assert rgb_of(save(GREY_16 >> 4, 'PNG')).max() == 63741 >> 12
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        rgb_of(save(GREY_16, 'PNG'))


def test_pgm_of_12_bits_is_scaled_by_its_own_white():
    pgm = b'P5 %d %d 4095\n' % (WIDTH, HEIGHT) + big(GREY_16 >> 4).tobytes()
    expected = repeated(GREY_16 >> 4) * (255 / 4095)
    assert np.abs(rgb_of(pgm) - expected).max() <= 1


# ---- 32 bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('values', 'right'),
    [
        ((GREY / 255).astype(np.float32), repeated(GREY)),
        (GREY.astype(np.float32), repeated(GREY)),
        (GREY_16.astype(np.float32), UPPER),
        (GREY.astype(np.int32), repeated(GREY)),
        (GREY_16.astype(np.int32), UPPER),
    ],
    ids=['0 to 1', 'float 0 to 255', 'float 0 to 65535', '0 to 255', '0 to 65535'],
)
def test_32_bits_are_scaled_by_their_largest_value(values, right):
    with pytest.warns(UserWarning, match='no such file tells what is white'):
        assert np.array_equal(rgb_of(save(values, 'TIFF')), right)


@pytest.mark.parametrize('wrong', [-1, 65536, np.nan, np.inf])
def test_32_bits_without_a_scale_are_refused(wrong):
    values = GREY.astype(np.float32)
    values[3, 4] = wrong
    with pytest.raises(ValueError, match='what is black and what is white, no such file tells'):
        rgb_of(save(values, 'TIFF'))


def test_white_that_is_zero_in_floats():
    content = write_tiff((1 - GREY / 255).astype('<f4').tobytes(), 32, photometric=0, sample=3)
    with pytest.warns(UserWarning, match='32 bits'):
        assert np.array_equal(rgb_of(content), repeated(GREY))


def test_planes_that_pillow_mistakes_are_refused():
    planes = np.moveaxis(RGB_16, -1, 0)
    content = write_tiff(planes[0].tobytes(), 16, photometric=2, channels=3, tag_284=2)
    with pytest.raises(ValueError, match='uncompressed 16-bit planes'):
        rgb_of(content)


# ---- 8 bits and fewer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'right'),
    [
        (save(np.dstack([RGB, ALPHA]), 'PNG'), RGB),
        (save(np.dstack([RGB, ALPHA]), 'TIFF'), RGB),
        (save(np.dstack([RGB, ALPHA]), 'WEBP', lossless=True, exact=True), RGB),
        (save(np.dstack([GREY, ALPHA]), 'PNG'), repeated(GREY)),
        (save(GREY, 'PNG', transparency=80), repeated(GREY)),
        (save(RGB, 'PNG', transparency=(30, 21, 24)), RGB),
        (save(PALETTE, 'PNG', transparency=5), IN_PALETTE),
        (save(PALETTE, 'PNG', transparency=bytes(range(0, 256, 4))), IN_PALETTE),
        (save(PALETTE, 'GIF', transparency=5), IN_PALETTE),
        (save(GREY > 99, 'PNG'), repeated((GREY > 99) * np.uint8(255))),
        (write_png(np.packbits(X % 8 > 2, axis=1), 1, 0), repeated((X % 8 > 2) * np.uint8(255))),
        (save(GREY, 'BMP'), repeated(GREY)),
        (write_tiff((255 - GREY).tobytes(), 8, photometric=0), repeated(GREY)),
    ],
    ids=['alpha, png', 'alpha, tiff', 'alpha, webp', 'grey, alpha', 'transparent grey',
         'transparent colour', 'palette, index', 'palette, bytes', 'gif', '1 bit', '1 bit, packed',
         'bmp', 'tiff, white is 0'],
)  # fmt: skip
def test_colours_stay_and_alpha_is_left_out(content, right):
    assert np.array_equal(rgb_of(content), right)


def test_colour_spaces():
    image = Image.fromarray(RGB)
    for content in (save(image.convert('CMYK'), 'TIFF'),  # its black is 0 throughout
                    save(image.convert('CMYK'), 'JPEG', quality=100, subsampling=0)):  # fmt: skip
        assert np.abs(rgb_of(content).astype(int) - RGB).max() <= 1  # Adobe's CMYK is inverted
    assert np.abs(rgb_of(save(image.convert('YCbCr'), 'TIFF')).astype(int) - RGB).max() <= 3
    neutral = Image.fromarray(np.full_like(GREY, 128))
    lab = Image.merge('LAB', [Image.fromarray(GREY), neutral, neutral])
    luminance = ((GREY[0, 16] / 255 * 100 + 16) / 116) ** 3
    expected = 255 * (1.055 * luminance ** (1 / 2.4) - 0.055)  # sRGB
    assert np.abs(rgb_of(save(lab, 'TIFF'))[0, 16] - expected).max() < 1


# ---- EXIF, frames, names -----------------------------------------------------------------------

TURNS = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize('orientation', TURNS)
def test_orientation(orientation):
    exif, turn = Image.Exif(), TURNS[orientation]
    exif[0x0112] = orientation
    jpeg = rgb_of(save(RGB, 'JPEG', quality=95))
    assert np.array_equal(rgb_of(save(RGB, 'JPEG', quality=95, exif=exif)), turn(jpeg))
    with open_image(save(RGB, 'JPEG', exif=exif)) as image:
        assert upright_size(image) == turn(RGB).shape[1::-1]
    for kind, options in (
        ('PNG', dict(exif=exif)),
        ('WEBP', dict(exif=exif, lossless=True)),
        ('TIFF', dict(tiffinfo={274: orientation})),
        ('TIFF', dict(tiffinfo={274: orientation}, compression='tiff_lzw')),
    ):
        assert np.array_equal(rgb_of(save(RGB, kind, **options)), turn(RGB)), (kind, options)
    png = write_png(big(GREY_16), 16, 0, (b'eXIf', exif.tobytes()[6:]))
    assert np.array_equal(rgb_of(png), turn(UPPER))
    for order in '<>':
        values = GREY_16.astype(f'{order}u2').tobytes()
        content = write_tiff(values, 16, order=order, tag_274=orientation)
        assert np.array_equal(rgb_of(content), turn(UPPER))


@pytest.mark.parametrize('kind', ['TIFF', 'PNG', 'WEBP', 'GIF', 'MPO'])
def test_the_first_of_several_frames(kind):
    options = dict(lossless=True) if kind == 'WEBP' else {}
    first, other = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    content = save(first, kind, save_all=True, append_images=[other], **options)
    alone = save(first, 'JPEG' if kind == 'MPO' else kind, **options)
    assert len(content) > 1.4 * len(alone) or kind == 'GIF'
    assert np.array_equal(rgb_of(content), rgb_of(alone))


def test_progressive_jpeg():
    plain, progressive = (save(RGB, 'JPEG', progressive=p, quality=90) for p in (False, True))
    assert plain != progressive and np.array_equal(rgb_of(plain), rgb_of(progressive))


# ---- what is no image --------------------------------------------------------------------------


def test_eps_is_not_run():
    """Pillow gives it to Ghostscript."""
    eps = save(RGB, 'EPS')
    with open_image(eps) as image:
        assert image.format == 'EPS'
    with pytest.raises(ValueError, match='EPS is a program, and is not run'):
        decode_image(eps)


def test_text_is_no_image():
    with pytest.raises(ValueError, match='no image of a format that Pillow knows'):
        decode_image(b'-----BEGIN OPENSSH PRIVATE KEY-----')


def test_any_error_of_a_decoder_is_one_that_a_reader_expects(monkeypatch):
    with pytest.raises(ValueError, match='RuntimeError: no item'), open_image(save(RGB, 'PNG')):
        raise RuntimeError('no item')  # Pillow's AVIF, of a damaged file
    with pytest.raises(MemoryError), open_image(save(RGB, 'PNG')):
        raise MemoryError


def test_it_takes_an_open_image():
    with open_image(save(RGB, 'PNG')) as image:
        upright = upright_rgb(image)
    assert upright.mode == 'RGB' and np.array_equal(np.asarray(upright), RGB)


# ---- extensions --------------------------------------------------------------------------------


def test_every_extension_that_is_listed_is_read():
    """Of each one, what Pillow writes under that name."""
    for extension in readable_extensions():
        kind = Image.registered_extensions().get(extension, 'JPEG')  # .pjpeg and .pjp
        image = RGB if extension != '.pbm' else Image.fromarray(GREY > 99)
        assert rgb_of(save(image, kind)).shape == RGB.shape, extension
    assert {'.jpg', '.jfif', '.gif', '.avif', '.webp'} <= set(readable_extensions())


def test_what_a_file_is_when_it_is_no_image_that_is_read(monkeypatch):
    heic = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'
    with pytest.raises(ValueError, match='a HEIC image, whatever its name: .*pillow-heif'):
        decode_image(heic)
    with pytest.raises(ValueError, match='the file is empty'):
        decode_image(b'')
    with pytest.raises(ValueError, match='a web page'):
        decode_image(b'\n<!DOCTYPE html>\n<html>')
    monkeypatch.setattr(Image, 'open', lambda file: (_ for _ in ()).throw(UnidentifiedImageError()))
    with pytest.raises(ValueError, match='an AVIF image, .*install -U pillow'):
        decode_image(b'\0\0\0\x1cftypavif\0\0\0\0avif')


def test_a_remedy_for_each_kind():
    assert 'pillow-heif' in remedy('.HEIC') and 'developed' in remedy('.nef')
    assert 'Unpack' in remedy('.zip') and remedy('.txt') is None
