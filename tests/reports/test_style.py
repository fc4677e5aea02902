"""The palette."""

import matplotlib

from cream_mm.reports.style import INK, OTHER_KERNEL_COLOR, PLAIN_COLOR, kernel_color, plot_style


def test_kernels_are_told_apart_in_grey_print():
    def luma(color):
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    shades = [luma(kernel_color(k)) for k in (1, 3, 5, 7)]
    assert all(a - b > 20 for a, b in zip(shades, shades[1:]))
    assert kernel_color(None) == kernel_color(1) == PLAIN_COLOR
    assert kernel_color(9) == OTHER_KERNEL_COLOR


def test_the_settings_end_with_the_figure():
    before = matplotlib.rcParams['text.color']
    with plot_style():
        assert matplotlib.rcParams['text.color'] == INK
    assert matplotlib.rcParams['text.color'] == before
