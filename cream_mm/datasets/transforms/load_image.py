"""Reads an image, and says so when it cannot."""

import re

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from PIL import Image, ImageFile

from ...files import read_bytes
from ...registry import TRANSFORMS
from ..pillow_image import MAX_IMAGE_BYTES, UNREADABLE, open_image, upright_rgb


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``results['img_path']`` as BGR; damaged files do not stop the run.

    A truncated or unreadable file is reported with its path, once per process. In training it is
    skipped: the dataset then draws another image. In testing every image counts, so what could be
    decoded is used, grey where nothing could.

    A JPEG that is whole is decoded by OpenCV, in half of Pillow's time, all others by Pillow. Both
    decode with libjpeg-turbo, to the same pixels. How other kinds become 8-bit colour, says
    :func:`upright_rgb`. What is no regular file, a pipe or a device for example, is unreadable. An
    ``img`` that is there already, of a packed set, is taken as it is.

    Too many damaged files stop the run: a folder is wrong then, or a disk. Each worker process of a
    data loader counts for itself; one that lives for an epoch counts anew in the next.

    Args:
        on_error (str): 'skip' (training) or 'partial' (testing). Defaults to 'skip'.
        max_share (float): Stop when more than this share of all reads failed, and 100 were tried.
            Defaults to 0.1.

    Shapes:
        adds ``img``: (H, W, 3) uint8, and ``img_shape``, ``ori_shape``.

    Raises:
        ValueError: If too many images are unreadable, or an argument is out of range.
    """

    def __init__(self, on_error: str = 'skip', max_share: float = 0.1):
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share is a share, 0 to 1; got {max_share}')
        if on_error not in ('skip', 'partial'):
            raise ValueError(f"on_error is 'skip' or 'partial'; got {on_error!r}")
        self.on_error = on_error
        self.max_share = max_share
        self.num_read = self.num_failed = 0
        self._reported = set()

    def transform(self, results: dict) -> dict | None:
        if 'img' in results:
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
            return results
        path = results['img_path']
        self.num_read += 1
        try:
            img = decode_image(_read(path))
        except UNREADABLE as error:
            self.num_failed += 1
            self._report(path, error)
            if self.on_error == 'skip':
                return None
            img = _what_is_there(path, results)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _report(self, path: str, error: Exception) -> None:
        if path not in self._reported:
            self._reported.add(path)
            what = 'skipped' if self.on_error == 'skip' else 'used as far as it decodes'
            count = f'{self.num_failed} of {self.num_read} reads'
            print_log(f'unreadable image {path} ({error}): {what}; {count}', 'current', level=30)
        if self.num_read >= 100 and self.num_failed > self.max_share * self.num_read:
            raise ValueError(
                f'{self.num_failed} of {self.num_read} images could not be read, the last one '
                f'{path} ({error}). Mend the files or the disk, or allow it in the pipeline: '
                "dict(type='cream_mm.LoadImage', max_share=1.0)"
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(on_error={self.on_error!r})'


@TRANSFORMS.register_module()
class LoadImageFromFile(LoadImage):
    """:class:`LoadImage` for testing, under the name by which inferencers find it.

    mmdet's ``DetInferencer`` and ``inference_detector`` look in the test pipeline for a step of
    this name, whatever its scope, and put their own loading in its place, with the arguments that
    are written here: so leave them out. mmpretrain's inferencers put an image before it.

    Args:
        on_error (str): Defaults to 'partial'.
        max_share (float): As in :class:`LoadImage`.
    """

    def __init__(self, on_error: str = 'partial', max_share: float = 0.1):
        super().__init__(on_error, max_share)


def _read(path: str) -> bytes:
    # Not in the local file system: mmengine has a backend for it.
    return fileio.get(path) if '://' in str(path) else read_bytes(path, MAX_IMAGE_BYTES)


def _what_is_there(path: str, results: dict) -> np.ndarray:
    try:
        return decode_partly(_read(path))
    except UNREADABLE:
        size = results.get('height'), results.get('width')
        # Of an annotation file, which may be wrong.
        is_size = all(isinstance(n, int) and n > 0 for n in size)
        if not is_size or size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or 2**26):
            size = 256, 256
        return np.full((*size, 3), 128, np.uint8)


def decode_image(content: bytes) -> np.ndarray:
    """Bytes of an image file to its pixels, turned upright as EXIF says.

    Shapes:
        returns: (H, W, 3) uint8, BGR.

    Raises:
        OSError, SyntaxError, ValueError: If the file is truncated, damaged or no image.
        PIL.Image.DecompressionBombError: If it claims more pixels than Pillow allows.
    """
    if _is_whole_jpeg(content):
        try:
            img = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            img = None
        if img is not None:
            return img
    return _decode_by_pillow(content)


def decode_partly(content: bytes) -> np.ndarray:
    """As :func:`decode_image`, but of a truncated file what is there.

    Raises:
        OSError, SyntaxError, ValueError: If nothing can be decoded.
        PIL.Image.DecompressionBombError: If it claims more pixels than Pillow allows.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return _decode_by_pillow(content)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _decode_by_pillow(content: bytes) -> np.ndarray:
    with open_image(content) as image:
        return cv2.cvtColor(np.asarray(upright_rgb(image)), cv2.COLOR_RGB2BGR)


# In the compressed data 0xff is followed by one of these: a stuffed zero, a restart, the end, or,
# in a progressive file, the next scan and its tables.
_ODD_MARKER = re.compile(rb'\xff[^\x00\xff\xc4\xd0-\xd7\xd9\xda\xdb]')


def _is_whole_jpeg(content: bytes) -> bool:
    """Whether OpenCV, which decodes damaged files without a word, may decode this one.

    It ends as it must; the data has no marker at which libjpeg would stop; it is grey, of three
    channels or CMYK (whose RGB OpenCV rounds otherwise than Pillow, by up to 2 of 255, and mmcv's
    LoadImageFromFile as OpenCV), no larger than Pillow allows. Where in doubt, no: then Pillow
    decodes and judges.
    """
    if content[:3] != b'\xff\xd8\xff' or content[-2:] != b'\xff\xd9':
        return False
    at, size = 2, 0  # at: of the next segment, a marker and its length
    while at + 4 <= len(content) and content[at] == 0xFF:
        kind, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], 'big')
        if kind in (0xC0, 0xC1, 0xC2):  # start of frame: precision, height, width, channels
            if length < 8 or content[at + 9] not in (1, 3, 4):
                return False
            height, width = (int.from_bytes(content[at + k : at + k + 2], 'big') for k in (5, 7))
            size = height * width
        elif kind == 0xDA:  # start of scan: compressed data follows
            is_allowed = 0 < size <= (Image.MAX_IMAGE_PIXELS or size)
            # Pillow turns by this entry too, OpenCV by EXIF alone.
            is_turned = content.find(b'tiff:Orientation', 0, at) >= 0
            return is_allowed and not is_turned and not _ODD_MARKER.search(content, at + 2 + length)
        at += 2 + length
    return False
