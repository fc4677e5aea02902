"""Images of every kind that Pillow reads, as 8-bit RGB."""

import functools
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# Of an image's file: as Pillow's largest image without a warning has, at 16 bits a channel.
MAX_IMAGE_BYTES = 2**29
ORIENTATION = 0x0112  # of EXIF
_BITS, _PHOTOMETRIC, _PLANAR = 258, 262, 284  # tags of TIFF

# Of images that every Pillow reads; what a file holds is seen from its content all the same.
EXTENSIONS = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.pjpeg', '.pjp', '.mpo', '.png', '.apng', '.gif', '.bmp',
    '.dib', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm', '.jp2',
)  # fmt: skip
_WITH_PLUGINS = ('.avif', '.heic', '.heif', '.hif')
_RAW = ('.cr2', '.cr3', '.nef', '.arw', '.dng', '.raf', '.orf', '.rw2', '.pef', '.srw')
_HEIC = 'HEIC is read once pillow-heif is installed (pip install pillow-heif); or save as JPEG'
_AVIF = 'AVIF is read by Pillow 11.3 and later (pip install -U pillow); or save as JPEG'
_REMEDIES = {
    '.avif': _AVIF,
    **dict.fromkeys(('.heic', '.heif', '.hif'), _HEIC),
    **dict.fromkeys(_RAW, 'Raw photographs have to be developed: save as JPEG'),
    **dict.fromkeys(
        ('.jxl', '.psd', '.svg', '.exr', '.hdr', '.ico', '.tga', '.j2k', '.eps', '.pdf'),
        'Save those as PNG or JPEG',
    ),
    **dict.fromkeys(('.mp4', '.mov', '.avi', '.mkv', '.webm'), 'Save frames of films as images'),
    **dict.fromkeys(('.zip', '.tar', '.gz', '.tgz', '.7z', '.rar'), 'Unpack archives'),
}


@functools.cache
def readable_extensions() -> tuple[str, ...]:
    """Extensions of images that are read here, in lower case: AVIF and HEIC where Pillow can."""
    _load_plugins()
    Image.init()
    return (*EXTENSIONS, *(e for e in _WITH_PLUGINS if e in Image.registered_extensions()))


def remedy(extension: str) -> str | None:
    """What to do about files with this extension, which are not read here."""
    return _REMEDIES.get(extension.lower())


@functools.cache
def _load_plugins() -> None:
    """Formats that packages beside Pillow read, where they are installed."""
    for name in ('pillow_heif', 'pillow_avif'):
        try:
            plugin = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(plugin, 'register_heif_opener'):
            plugin.register_heif_opener()


@contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """Open an image for :func:`upright_rgb`.

    Raises:
        OSError, SyntaxError, ValueError: If it is truncated, damaged or no image.
        PIL.Image.DecompressionBombError: If it claims more pixels than Pillow allows.
    """
    _load_plugins()
    try:
        with Image.open(BytesIO(content)) as image:
            yield image
    except UnidentifiedImageError:  # Pillow names the address of the bytes
        raise ValueError(_no_image(content)) from None
    except (MemoryError, *UNREADABLE):
        raise
    except Exception as error:  # Pillow's decoders raise all sorts where a file is damaged
        raise ValueError(f'{type(error).__name__}: {error}') from error


def _no_image(content: bytes) -> str:
    """What there is in the place of an image."""
    if not content:
        return 'the file is empty'
    brand = content[8:12] if content[4:8] == b'ftyp' else b''
    if brand in (b'avif', b'avis'):
        return f'an AVIF image, whatever its name: {_AVIF}'
    if brand in (b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'mif1', b'msf1'):
        return f'a HEIC image, whatever its name: {_HEIC}'
    start = content[:200].lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if start.startswith((b'<!doctype html', b'<html', b'<?xml')):
        return 'a web page or XML, no image: load the image again'
    if start.startswith(b'version https://git-lfs'):
        return 'a pointer to an image in Git LFS: fetch it with git lfs pull'
    return 'no image of a format that Pillow knows'


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image of Pillow's, turned upright as EXIF says; reads the header."""
    width, height = image.size
    is_turned = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if is_turned else (width, height)


def upright_rgb(image: Image.Image) -> Image.Image:
    """First frame of an image as 8-bit RGB, turned upright as EXIF says.

    * 16 bits become 8 by leaving out the lower ones, ``value >> 8``: OpenCV does so, and Pillow
      with colour. (Pillow alone cuts grey ones off at 255: nearly all is white.)
    * No file of 32-bit numbers tells what black and white are. Its largest value decides: up to 1
      (floats), up to 255, or up to 65535 is white; others are refused.
    * Alpha is left out and the colours below it stay as they are, as in torchvision, timm and mmcv.

    Args:
        image (PIL.Image.Image): Of :func:`open_image`, not yet loaded.

    Raises:
        ValueError: If it is of a kind that cannot be read rightly.
    """
    if image.format == 'EPS':
        raise ValueError('EPS is a program, and is not run')
    tags = getattr(image, 'tag_v2', {})
    bits = tags.get(_BITS, (16,))[0]
    if bits == 16 and tags.get(_PLANAR) == 2 and image.tile and image.tile[0][0] == 'raw':
        raise ValueError(  # Pillow takes each byte of a plane for a pixel
            'a TIFF of uncompressed 16-bit planes; save it interleaved (planar configuration 1)'
        )
    is_wide = image.mode == 'F' or image.mode.startswith('I')
    # PGM of more than 8 bits, and PNG in older Pillow, are of mode I, scaled to 16 bits.
    is_16_bit = image.mode.startswith('I;16') or (
        image.mode == 'I' and image.format in ('PNG', 'PPM')
    )
    upright = ImageOps.exif_transpose(image)
    if is_wide:
        values = np.asarray(upright)
        grey = _upper_bits(values, bits) if is_16_bit else _scaled(values)
        upright = Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey)
    return upright.convert('RGB')


def _upper_bits(values: np.ndarray, bits: int) -> np.ndarray:
    if bits == 16 and 255 < values.max() < 4096:
        warnings.warn(
            'a 16-bit image has no value above 4095, and is nearly black in 8 bits (value >> 8). '
            'If its camera has 12 bits or fewer, scale such images to 16 first',
            stacklevel=2,
        )
    return (values >> (bits - 8)).astype(np.uint8)


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # or not a number
        raise ValueError(
            f'pixels of 32 bits from {low} to {high}: what is black and what is white, no such '
            'file tells; save it with 8 or 16 bits'
        )
    warnings.warn(
        'an image has pixels of 32 bits, and no such file tells what is white: 1, 255 or 65535 is '
        'taken, whichever its largest value does not exceed; better save such images with 8 or 16',
        stacklevel=2,
    )
    if high <= 1 and values.dtype.kind == 'f':
        values = values * 255
    elif high > 255:
        values = values // 256
    return np.rint(values).astype(np.uint8)
