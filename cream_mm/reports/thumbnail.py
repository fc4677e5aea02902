"""Small pictures inside a page."""

import base64
import io

from PIL import Image

from ..datasets.pillow_image import MAX_IMAGE_BYTES, UNREADABLE, open_image, upright_rgb
from ..files import read_bytes


def thumbnail(path: str, side: int) -> str | None:
    """Data URI of a small JPEG of a picture; None if it cannot be shown.

    Args:
        path (str): File of the picture.
        side (int): The longer side in pixels, at most. A picture of less than half of it is
            enlarged to that half.
    """
    try:
        with open_image(read_bytes(path, MAX_IMAGE_BYTES)) as image:
            if image.format == 'JPEG' and image.mode in ('RGB', 'L'):
                image.draft(image.mode, (2 * side, 2 * side))
            image = upright_rgb(image)
    except UNREADABLE:
        return None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(image.size) < side / 2:
        scale = side / 2 / max(image.size)
        size = tuple(max(1, round(v * scale)) for v in image.size)
        image = image.resize(size, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, 'jpeg', quality=82)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode('ascii')
