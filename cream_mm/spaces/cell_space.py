"""What spaces of repeated cells have in common: the network around the cells."""

from dataclasses import dataclass, replace

from .space import Space

STEM_STRIDES = (1, 2, 4, 8)


@dataclass(frozen=True)
class CellSpace(Space):
    """Cells in three stages of 1, 2 and 4 times the width, behind a stem.

    Args:
        name (str): Name that its architectures carry.
        channels (int): Of the first stage.
        num_cells (int): Cells in each stage.
        stem_stride (int): 1 (default) for images of 32 pixels; 4 for detectors, whose stages then
            have strides 4, 8 and 16. Beyond 2 by max pools behind the stem.

    Raises:
        ValueError: If a value is out of range.
    """

    name: str
    channels: int
    num_cells: int
    stem_stride: int = 1

    num_stages = 3
    sized_by = 'channels and num_cells of the space'

    def __post_init__(self):
        for key, low, high in (('channels', 1, 65_536), ('num_cells', 1, 1000)):
            value = getattr(self, key)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f'{key} of a space is {low} to {high}; got {value!r}')
        if type(self.stem_stride) is not int or self.stem_stride not in STEM_STRIDES:
            raise ValueError(f'stem_stride is 1, 2, 4 or 8; got {self.stem_stride!r}')

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of the nodes in the three stages."""
        return tuple(self.channels << stage for stage in range(self.num_stages))

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Strides of the three stages' maps, in pixels."""
        return tuple(self.stem_stride << stage for stage in range(self.num_stages))

    def with_other_strides(self) -> list['CellSpace']:
        """The same cells behind another stem."""
        strides = [stride for stride in STEM_STRIDES if stride != self.stem_stride]
        return [replace(self, stem_stride=stride) for stride in strides]
