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

    Args:
        on_error (str): 'skip' (training) or 'partial' (testing). Defaults to 'skip'.

    Shapes:
        adds ``img``: (H, W, 3) uint8, and ``img_shape``, ``ori_shape``.
    """

    def __init__(self, on_error: str = 'skip'):
        if on_error not in ('skip', 'partial'):
            raise ValueError(f"on_error is 'skip' or 'partial'; got {on_error!r}")
        self.on_error = on_error
        self._reported = set()

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            img = _decode(fileio.get(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
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
            print_log(f'unreadable image {path} ({error}): {what}', 'current', level=30)

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
