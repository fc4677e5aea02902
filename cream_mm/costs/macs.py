"""Closed forms for the cost of each layer, in every counting convention.

Conventions (specification: docs/conventions.md):

* ``macs``: multiply-adds of convolutions and linear layers, nothing else. This is what
  "FLOPs" means in cream_mm, and half of what ``torch.utils.flop_counter`` counts.
* ``board_flops``: what the released Cream code writes on its board (ptflops of 2020): MACs,
  bias additions, two per BN output element, SE pooling inputs, ReLU elements. It leaves out the
  stem's BN and the classifier.
* ``published_flops``: what the names 14M ... 604M mean (thop 0.0.31): MACs, two per BN output
  element, inputs of all average pools.
"""

from typing import NamedTuple

from ..spaces import make_divisible, squeeze_channels


class Cost(NamedTuple):
    """Integer counts of one layer or one network. Adds up component by component."""

    macs: int = 0
    params: int = 0
    board_flops: int = 0
    published_flops: int = 0

    def __add__(self, other: 'Cost') -> 'Cost':
        return Cost(*(a + b for a, b in zip(self, other)))

    def in_millions(self) -> dict:
        """``{'macs_m': ..., 'params_m': ..., ...}`` as floats."""
        return {f'{name}_m': value / 1e6 for name, value in self._asdict().items()}


def conv_bn(
    cin: int, cout: int, kernel: int, pixels: int, *, relu=False, board_counts_bn=True
) -> Cost:
    """Convolution without bias, then BN. ``pixels`` is the number of output positions."""
    macs = kernel * kernel * cin * cout * pixels
    norm = 2 * cout * pixels
    params = kernel * kernel * cin * cout + 2 * cout
    board = macs + norm * board_counts_bn + cout * pixels * relu
    return Cost(macs, params, board, macs + norm)


def depthwise_bn(channels: int, kernel: int, pixels: int, *, relu=False) -> Cost:
    """Depthwise convolution without bias, then BN."""
    macs = kernel * kernel * channels * pixels
    norm = 2 * channels * pixels
    params = kernel * kernel * channels + 2 * channels
    return Cost(macs, params, macs + norm + channels * pixels * relu, macs + norm)


def squeeze_excite(channels: int, pixels: int, se: str = 'cream', cin: int = 0) -> Cost:
    """Average pool over ``pixels``, two biased conv1x1 with an activation between them, a gate.

    ``se`` and the block's input channels ``cin`` decide the width between them.
    """
    reduced = squeeze_channels(se, cin, channels)
    if not reduced:
        return Cost()
    macs = 2 * channels * reduced
    pool = channels * pixels
    bias = reduced + channels
    relu = reduced * (se == 'cream')
    return Cost(macs, macs + bias, macs + bias + relu + pool, macs + pool)


def ds_block(
    cin: int, pixels: int, cout: int | None = None, act: str = 'silu', se: str = 'cream'
) -> Cost:
    """The fixed first block: depthwise 3x3, SE, conv1x1; stride 1. ``cout`` defaults to ``cin``."""
    cost = depthwise_bn(cin, 3, pixels, relu=act == 'relu') + squeeze_excite(cin, pixels, se, cin)
    return cost + conv_bn(cin, cout or cin, 1, pixels)


def mbconv(
    cin: int,
    cout: int,
    kernel: int,
    expand: int,
    pixels_in: int,
    pixels_out: int,
    act: str = 'silu',
    se: str = 'cream',
) -> Cost:
    """Inverted bottleneck: conv1x1, depthwise, SE, conv1x1."""
    mid, relu = make_divisible(cin * expand), act == 'relu'
    cost = conv_bn(cin, mid, 1, pixels_in, relu=relu)
    cost += depthwise_bn(mid, kernel, pixels_out, relu=relu)
    return cost + squeeze_excite(mid, pixels_out, se, cin) + conv_bn(mid, cout, 1, pixels_out)


def pooled(cin: int, pixels: int) -> Cost:
    """Global average pool."""
    pool = cin * pixels
    return Cost(0, 0, pool, pool)


def pooled_head(cin: int, hidden: int, pixels: int) -> Cost:
    """Global average pool, then a biased conv1x1 on the one remaining position."""
    macs, pool = cin * hidden, cin * pixels
    return Cost(macs, macs + hidden, macs + hidden + pool, macs + pool)


def classifier(hidden: int, num_classes: int) -> Cost:
    """The linear layer. The board's convention does not count it."""
    macs = hidden * num_classes
    return Cost(macs, macs + num_classes, 0, macs)
