"""Reads an image, and says so when it cannot."""

from io import BytesIO

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from PIL import Image, ImageFile, ImageOps

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``results['img_path']`` as BGR; damaged files do not stop the run.

    A truncated or unreadable file is reported with its path, once per process. In training it is
    skipped: the dataset then draws another image. In testing every image counts, so what could be
    decoded is used, grey where nothing could.

    Too many of them stop the run: a folder is wrong then, or a disk. Each worker process of a
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
        path = results['img_path']
        self.num_read += 1
        try:
            img = _decode(fileio.get(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self.num_failed += 1
            self._report(path, error)
            if self.on_error == 'skip':
                return None
            img = self._decode_what_is_there(path, results)
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

    @staticmethod
    def _decode_what_is_there(path: str, results: dict) -> np.ndarray:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return _decode(fileio.get(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            size = results.get('height', 256), results.get('width', 256)
            return np.full((*size, 3), 128, np.uint8)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before

    def __repr__(self) -> str:
        return f'{type(self).__name__}(on_error={self.on_error!r})'


def _decode(content: bytes) -> np.ndarray:
    """Bytes to (H, W, 3) BGR. Pillow, because OpenCV decodes truncated files without a word."""
    with Image.open(BytesIO(content)) as image:
        image = ImageOps.exif_transpose(image).convert('RGB')
        return np.ascontiguousarray(np.asarray(image)[..., ::-1])
