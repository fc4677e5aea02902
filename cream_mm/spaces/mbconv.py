"""The MBConv search space: a fixed skeleton, and a choice of kernel and expansion per layer."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np

from ..structures import Arch


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of ``divisor``, never more than 10 % down.

    >>> [make_divisible(mid * 0.25) for mid in (16, 144, 240)]
    [8, 40, 64]
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * value:
        rounded += divisor
    return rounded


class LayerSpec(NamedTuple):
    """Where one searchable layer stands and what goes through it."""

    stage: int  # 1 .. number of stages, as in the official key names ``blocks.{stage}``
    layer: int  # 0-based place in the stage
    in_channels: int
    out_channels: int
    stride: int


@dataclass(frozen=True)
class MBConvSpace:
    """Skeleton and choices of an MBConv space. The defaults are Cream's.

    Stem conv3x3, one depthwise-separable block, searchable stages, a conv1x1, then the head.
    Only the first layer of a stage has the stage's stride and changes the width.

    Args:
        name (str): Name that architectures of this space carry. Defaults to 'cream'.
        depths (tuple[int]): Layers per searchable stage of the supernet.
        choices (tuple[tuple[int, int]]): (kernel, expansion) of each choice index.
        widths (tuple[int]): Output channels of the searchable stages at width 1.
        strides (tuple[int]): Strides of the searchable stages.
        stem_channels (int): Channels of the stem and of the fixed first block at width 1.
        stem_stride (int): 2 for photographs; 1 keeps more resolution on small images.
        final_channels (int): Channels of the last conv1x1 at width 1.
        width_mult (float): Factor on all channels above, rounded to multiples of 8.
        in_channels (int): Channels of the image.

    Raises:
        ValueError: If a value is out of range; the message names it.

    Reference:
        Cream, released search space (6 MBConv choices, no skip).
    """

    name: str = 'cream'
    depths: tuple[int, ...] = (4, 4, 4, 4, 4)
    choices: tuple[tuple[int, int], ...] = ((3, 4), (3, 6), (5, 4), (5, 6), (7, 4), (7, 6))
    widths: tuple[int, ...] = (24, 40, 80, 96, 192)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2)
    stem_channels: int = 16
    stem_stride: int = 2
    final_channels: int = 320
    width_mult: float = 1.0
    in_channels: int = 3

    def __post_init__(self):
        # Configs hand over lists; tuples make the space hashable.
        for name in ('depths', 'widths', 'strides'):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, 'choices', tuple(tuple(c) for c in self.choices))
        if not len(self.depths) == len(self.widths) == len(self.strides):
            raise ValueError(
                'depths, widths and strides need one entry per searchable stage; got '
                f'{len(self.depths)}, {len(self.widths)} and {len(self.strides)} entries'
            )
        if any(depth < 1 for depth in self.depths):
            raise ValueError(f'every stage needs at least one layer; got depths={self.depths}')
        if any(stride not in (1, 2) for stride in (*self.strides, self.stem_stride)):
            raise ValueError(
                f'strides are 1 or 2; got strides={self.strides}, stem_stride={self.stem_stride}'
            )
        if any(kernel % 2 == 0 or expand < 1 for kernel, expand in self.choices):
            raise ValueError(f'kernels are odd and expansions >= 1; got choices={self.choices}')
        if self.width_mult <= 0:
            raise ValueError(f'width_mult must be > 0; got {self.width_mult}')

    # ---- the skeleton in numbers -------------------------------------------------------------

    def width(self, channels: int) -> int:
        """Channel count after the width multiplier."""
        return make_divisible(channels * self.width_mult)

    @property
    def num_stages(self) -> int:
        """Number of searchable stages."""
        return len(self.depths)

    @property
    def num_layers(self) -> int:
        """Number of searchable layers of the supernet."""
        return sum(self.depths)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of ``blocks.0`` ... ``blocks.{num_stages + 1}``."""
        base = (self.stem_channels, *self.widths, self.final_channels)
        return tuple(self.width(channels) for channels in base)

    def layers(self, depths: Sequence[int] | None = None) -> Iterator[LayerSpec]:
        """All searchable layers in order, for the supernet or for the given depths."""
        channels = self.stage_channels
        for stage, depth in enumerate(self.depths if depths is None else depths, start=1):
            for layer in range(depth):
                first = layer == 0
                yield LayerSpec(
                    stage,
                    layer,
                    channels[stage - 1] if first else channels[stage],
                    channels[stage],
                    self.strides[stage - 1] if first else 1,
                )

    # ---- architectures -----------------------------------------------------------------------

    def validate(self, arch: Arch, *, any_depth: bool = False) -> Arch:
        """Return ``arch`` if it is a network of this space.

        Args:
            arch (Arch): The architecture.
            any_depth (bool): Accept stages deeper than the supernet's; fixed networks do.

        Raises:
            ValueError: With the first thing that is wrong and what is accepted.
        """
        if arch.space != self.name:
            raise ValueError(f'{arch} belongs to space {arch.space!r}, not to {self.name!r}')
        if len(arch.stages) != self.num_stages:
            raise ValueError(
                f'{arch} has {len(arch.stages)} searchable stages; {self.name!r} has '
                f'{self.num_stages} (the fixed [0] at both ends not counted)'
            )
        for stage, (choices, depth) in enumerate(zip(arch.stages, self.depths), start=1):
            if not choices or (len(choices) > depth and not any_depth):
                limit = 'at least 1 layer' if any_depth else f'1 to {depth} layers'
                raise ValueError(f'stage {stage} of {arch} has {len(choices)} layers, not {limit}')
            for choice in choices:
                if not 0 <= choice < len(self.choices):
                    raise ValueError(
                        f'choice {choice} in stage {stage} of {arch} is not one of '
                        f'0..{len(self.choices) - 1}, which mean (kernel, expansion) '
                        f'{list(self.choices)}; a skipped layer (-1) is simply left out of the list'
                    )
        return arch

    def sample(self, rng: np.random.Generator, op_prob: Sequence[float] | None = None) -> Arch:
        """Draw one full-depth architecture, each layer on its own.

        Args:
            rng (np.random.Generator): Source of randomness.
            op_prob (Sequence[float], optional): Probability of each choice. Uniform if None.
        """
        flat = rng.choice(len(self.choices), size=self.num_layers, p=op_prob)
        return self.decode(flat)

    def mutate(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """Change the choice of one random layer to another one."""
        flat = self.encode(arch)
        place = rng.integers(len(flat))
        flat[place] = (flat[place] + rng.integers(1, len(self.choices))) % len(self.choices)
        return self.decode(flat, arch.depths)

    def encode(self, arch: Arch) -> list:
        """Choices as one flat list of integers, stage after stage."""
        return [choice for stage in arch.stages for choice in stage]

    def decode(self, flat: Sequence[int], depths: Sequence[int] | None = None) -> Arch:
        """The inverse of :meth:`encode`, for the supernet's or the given depths."""
        stages, start = [], 0
        for depth in self.depths if depths is None else depths:
            stages.append(tuple(flat[start : start + depth]))
            start += depth
        return Arch(tuple(stages), self.name)

    # ---- as data -----------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Keyword arguments that build this space again; plain JSON values."""
        return {k: _to_lists(v) for k, v in asdict(self).items()}

    @classmethod
    def build(cls, cfg=None) -> 'MBConvSpace':
        """Make a space from a config dict, or pass one through.

        Raises:
            ValueError: If the dict has a key that a space does not know.
        """
        if isinstance(cfg, cls):
            return cfg
        cfg = dict(cfg or {})
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(cfg) - set(known))
        if unknown:
            raise ValueError(f'a search space has no {unknown}; it knows {known}')
        return cls(**cfg)


def _to_lists(value):
    return [_to_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
