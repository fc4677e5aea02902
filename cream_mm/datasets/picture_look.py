"""Looks at each picture of a set once: whether it can be read, its kind and size, how it looks."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..environment import usable_cores
from ..files import read_bytes, shorten
from .pillow_image import (
    MAX_IMAGE_BYTES,
    ORIENTATION,
    UNREADABLE,
    open_image,
    upright_rgb,
    upright_size,
)

SIDE = 32  # pixels of the small copy that is kept of each picture
# What a file of each format may be called.
_EXTENSIONS = dict(
    JPEG=('.jpg', '.jpeg', '.jpe', '.jfif', '.pjpeg', '.pjp', '.mpo'),
    MPO=('.jpg', '.jpeg', '.jpe', '.jfif', '.mpo'),
    PNG=('.png', '.apng'), GIF=('.gif',), BMP=('.bmp', '.dib'), WEBP=('.webp',),
    TIFF=('.tif', '.tiff'), PPM=('.ppm', '.pgm', '.pbm', '.pnm'), JPEG2000=('.jp2', '.j2k'),
    AVIF=('.avif',), HEIF=('.heic', '.heif', '.hif'),
)  # fmt: skip


@dataclass(slots=True)
class Look:
    """What one picture is.

    Attributes:
        problem (str, optional): Why it cannot be read whole; nothing else is known then.
        width, height (int): Pixels, upright as EXIF says.
        kinds (tuple[str, ...]): What is unusual about the file, keys of :data:`KINDS`.
        digest (bytes): SHA-1 of the file.
        hash (int): 64 bits: whether each of 8 x 8 places is darker than the one to its right.
        small (np.ndarray): The picture, squeezed.

    Shapes:
        small: (32, 32, 3) uint8, RGB.
    """

    problem: str | None = None
    width: int = 0
    height: int = 0
    kinds: tuple[str, ...] = ()
    digest: bytes = b''
    hash: int = 0
    small: np.ndarray | None = None


KINDS = dict(
    other_name='named as another format than they are of; the content counts here, not the name',
    palette='with a palette of colours',
    see_through='with transparent parts: transparency is left out, the colours below it stay',
    alpha='with a transparency channel that is opaque everywhere',
    deep='with 16 or 32 bits a channel, of which the upper 8 are read',
    cmyk='in colours for print (CMYK)',
    binary='in black and white alone (1 bit)',
    grey='in grey',
    moving='with several frames, of which the first is read',
    turned='turned by an EXIF tag',
)


def look_at_picture(path: str | os.PathLike) -> Look:
    """Read a picture and say what it is; one that cannot be read has a ``problem``."""
    try:
        content = read_bytes(path, MAX_IMAGE_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of a set, they are told together
            look = _look(content, os.path.splitext(path)[1].lower())
    except (MemoryError, *UNREADABLE) as error:
        text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        return Look(problem=shorten(text, 200))
    look.digest = hashlib.sha1(content, usedforsecurity=False).digest()
    return look


def _look(content: bytes, extension: str) -> Look:
    with open_image(content) as image:
        kinds = [] if extension in _EXTENSIONS.get(image.format, (extension,)) else ['other_name']
        mode, (width, height) = image.mode, upright_size(image)
        if getattr(image, 'n_frames', 1) > 1 and image.format != 'MPO':
            kinds.append('moving')
        if image.format == 'JPEG' and mode in ('RGB', 'L'):
            image.draft(mode, (4 * SIDE, 4 * SIDE))  # decodes a part of the pixels, all the bytes
        kinds += _kinds_of_mode(image, mode)
        if image.getexif().get(ORIENTATION, 1) not in (0, 1):
            kinds.append('turned')
        small = upright_rgb(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return Look(
        width=width, height=height, kinds=tuple(kinds), hash=difference_hash(small),
        small=np.asarray(small),
    )  # fmt: skip


def _kinds_of_mode(image: Image.Image, mode: str) -> list[str]:
    kinds = []
    if mode == 'P':
        kinds.append('palette')
    if mode in ('LA', 'PA', 'RGBA') or 'transparency' in image.info:
        lowest = image.convert('RGBA').getchannel('A').getextrema()[0]
        kinds.append('see_through' if lowest < 255 else 'alpha')
    if mode == 'F' or mode.startswith('I'):
        kinds.append('deep')
    if mode in ('L', 'LA'):
        kinds.append('grey')
    return kinds + [name for name, m in (('cmyk', 'CMYK'), ('binary', '1')) if m == mode]


def difference_hash(image: Image.Image) -> int:
    """64 bits of how a picture looks; those of a resized or compressed copy differ in a few.

    A bit says whether one of 8 x 9 places is darker than its right neighbour.
    """
    grey = np.asarray(image.convert('L').resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (grey[:, :-1] < grey[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')


def look_at_pictures(paths: Sequence[str], step: Callable[[], None] | None = None) -> list[Look]:
    """:func:`look_at_picture` of each, on all cores.

    Args:
        paths (Sequence[str]): The files.
        step (Callable, optional): Is called after each picture.
    """
    looks = []
    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding holds no lock
        try:
            for look in pool.map(look_at_picture, paths):
                looks.append(look)
                if step is not None:
                    step()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return looks
