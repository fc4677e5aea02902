import mmcv
import numpy as np

from cream_mm.registry import TRANSFORMS


def test_each_image_draws_its_interpolation():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    # The whole image, so that the interpolation alone is random.
    crop = TRANSFORMS.build(
        dict(type='cream_mm.RandomResizedCrop', scale=16, crop_ratio_range=(1.0, 1.0),
             aspect_ratio_range=(1.2, 1.2))
    )  # fmt: skip
    known = {
        name: mmcv.imresize(image, (16, 16), interpolation=name, backend='pillow')
        for name in ('bilinear', 'bicubic')
    }
    assert not np.array_equal(*known.values())
    np.random.seed(0)
    drawn = []
    for _ in range(40):
        result = crop(dict(img=image))['img']
        drawn += [name for name, expected in known.items() if np.array_equal(result, expected)]
    assert len(drawn) == 40 and 10 < drawn.count('bicubic') < 30
