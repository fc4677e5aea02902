"""Says when images are smaller than what a network is given: they are blown up, at full cost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

NUM_LOOKED_AT = 32


def say_enlarged(paths: Sequence[str | Path], input_size: object, say: Callable) -> None:
    """A line if half of the images have a shorter side below ``input_size``.

    Args:
        paths (Sequence[str | Path]): Of the images; :data:`NUM_LOOKED_AT` of them are looked at.
        input_size (int): Pixels; anything else says nothing.
        say (Callable): Called with the line.
    """
    from ..datasets.pillow_image import UNREADABLE, open_image, upright_size  # with Pillow

    if type(input_size) is not int:
        return
    sides = []
    for path in paths[:: max(1, len(paths) // NUM_LOOKED_AT)][:NUM_LOOKED_AT]:
        try:
            with open_image(Path(path).read_bytes()) as image:
                sides.append(min(upright_size(image)))
        except UNREADABLE:
            continue
    if sides and median(sides) < input_size:
        say(
            f'input_size={input_size}: the shorter side of the images is {median(sides):g} pixels '
            '(the median). They are enlarged, which costs as much as if there were more to see'
        )
