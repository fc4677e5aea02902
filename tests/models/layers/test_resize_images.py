import pytest
import torch

from cream_mm.models.layers.resize_images import resize_images


def test_half_the_side_is_a_mean_with_a_triangle():
    """Antialiased bilinear by 2: weights 1, 3, 3, 1 over eight, less at the border."""
    row = torch.randn(8).double()
    x = row.expand(1, 2, 8, 8)  # the same in each line: one axis tells
    out = resize_images(x, 4)[0, 0, 0]
    weights = torch.tensor([1.0, 3, 3, 1]).double() / 8
    inner = torch.stack([(row[i : i + 4] * weights).sum() for i in (1, 3)])
    ends = torch.stack([(row[:3] * weights[1:]).sum(), (row[-3:] * weights[:3]).sum()]) * 8 / 7
    torch.testing.assert_close(out, torch.stack([ends[0], *inner, ends[1]]))


def test_its_own_size_is_left_alone():
    x = torch.rand(2, 3, 6, 6)
    assert resize_images(x, 6) is x
    assert resize_images(x, 9).shape == (2, 3, 9, 9)
    with pytest.raises(ValueError, match='images of 6 x 5 are not resized to a square of 4'):
        resize_images(x[..., :5], 4)
    with pytest.raises(ValueError, match='square of 6'):
        resize_images(x[..., :5], 6)
