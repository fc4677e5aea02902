"""The MBConv search space: a fixed skeleton, and a choice of kernel and expansion per layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from math import inf
from operator import mul
from typing import ClassVar, NamedTuple

from ..registry import TASK_UTILS, type_name
from ..structures import Arch
from .presets import SPACE_PRESETS
from .space import Space

IDENTITY = 'identity'
ACTIVATIONS = ('silu', 'relu', 'relu6')
SQUEEZES = ('cream', 'efficientnet', 'none')
PADDINGS = ('half', 'same')
COUNTERS = ('cream', 'dna')
LATER_FIELDS = ('padding', 'bn_eps', 'head_norm', 'published_flops')  # than version 0.1's


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of ``divisor``, never more than 10 % down.

    >>> [make_divisible(mid * 0.25) for mid in (16, 144, 240)]
    [8, 40, 64]
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * value:
        rounded += divisor
    return rounded


def squeeze_channels(se: str, in_channels: int, channels: int) -> int:
    """Bottleneck of the squeeze-and-excitation in a block; 0 if there is none.

    Args:
        se (str): Which one, see :class:`MBConvSpace`.
        in_channels (int): Channels that enter the block.
        channels (int): Channels that are gated.
    """
    if se == 'none':
        return 0
    return make_divisible(channels * 0.25) if se == 'cream' else max(1, in_channels // 4)


class LayerSpec(NamedTuple):
    """Where one searchable layer stands and what goes through it."""

    stage: int  # 1 .. number of stages, as in the official key names ``blocks.{stage}``
    layer: int  # 0-based place in the stage
    in_channels: int
    out_channels: int
    stride: int

    @property
    def reshapes(self) -> bool:
        """Whether the output has another size or width than the input."""
        return self.stride != 1 or self.in_channels != self.out_channels


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class MBConvSpace(Space):
    """Skeleton and choices of an MBConv space. The defaults are Cream's.

    Stem conv3x3, one depthwise-separable block, searchable stages, a conv1x1, then the head.
    Only the first layer of a stage has the stage's stride and changes the width.

    ``'identity'`` is a choice like others. Where a layer changes neither size nor width it is
    nothing at all; elsewhere it is a conv1x1 with the layer's stride and BN, without activation.

    Args:
        name (str): Name that architectures of this space carry. Defaults to 'cream'.
        depths (tuple[int]): Layers per searchable stage of the supernet.
        choices (tuple[tuple[int, int] | str]): (kernel, expansion) of each choice index, or
            ``'identity'``.
        widths (tuple[int]): Output channels of the searchable stages at width 1.
        strides (tuple[int]): Strides of the searchable stages.
        stem_channels (int): Channels of the stem at width 1.
        stem_stride (int): 2 for photographs; 1 keeps more resolution on small images.
        final_channels (int): Channels of the last conv1x1 at width 1; 0 leaves it out.
        width_mult (float): Factor on all channels above, rounded to multiples of 8.
        in_channels (int): Channels of the image.
        first_channels (int, optional): Output channels of the fixed first block at width 1; 0
            leaves it out. None has as many as the stem.
        head_channels (int): Channels of the hidden conv1x1 in the classifier's head, whatever
            the width. 0 has pool and linear alone.
        head_norm (bool): The head's hidden conv1x1 has batch norm, the space's activation and no
            bias, and stands before the pool, as EfficientNet's does.
        act (str): Activation everywhere but in the gates, ``'silu'``, ``'relu'`` or ``'relu6'``.
        se (str): Squeeze-and-excitation. ``'cream'``: a quarter of the gated channels, ReLU, hard
            sigmoid. ``'efficientnet'``: a quarter of the block's input channels, Swish, sigmoid.
            ``'none'``.
        padding (str): Of convolutions with a stride. ``'half'``: half the kernel on every side.
            ``'same'``: TensorFlow's, which pads even sizes less at the top and at the left.
        bn_eps (float, optional): Of every norm layer for which nobody says another. None is
            torch's.
        published_flops (str): Whose counter ``published_flops`` is: ``'cream'`` (thop) or
            ``'dna'`` (ptflops), see docs/conventions.md.

    Raises:
        ValueError: If a value is out of range; the message names it.

    Reference:
        Cream, released search space (6 MBConv choices, no skip). Others: ``presets.py``.
    """

    sized_by: ClassVar[str] = 'depths and width_mult of the space'
    fixed_ends: ClassVar[bool] = True  # the first block and the last conv1x1
    file_words: ClassVar[Mapping[str, tuple]] = dict(
        choices=(IDENTITY,), first_channels=(None,), bn_eps=(None,), act=(), se=(), padding=(),
        published_flops=(),
    )  # fmt: skip

    name: str = 'cream'
    depths: tuple[int, ...] = (4, 4, 4, 4, 4)
    choices: tuple[tuple[int, int] | str, ...] = ((3, 4), (3, 6), (5, 4), (5, 6), (7, 4), (7, 6))
    widths: tuple[int, ...] = (24, 40, 80, 96, 192)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2)
    stem_channels: int = 16
    stem_stride: int = 2
    final_channels: int = 320
    width_mult: float = 1.0
    in_channels: int = 3
    first_channels: int | None = None
    head_channels: int = 1280
    act: str = 'silu'
    se: str = 'cream'
    padding: str = 'half'
    bn_eps: float | None = None
    head_norm: bool = False
    published_flops: str = 'cream'

    def __post_init__(self):
        # Configs hand over lists; tuples make the space hashable.
        for name in ('depths', 'widths', 'strides'):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        choices = tuple(c if isinstance(c, str) else tuple(c) for c in self.choices)
        object.__setattr__(self, 'choices', choices)
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
        if choices.count(IDENTITY) > 1 or any(
            isinstance(c, str) and c != IDENTITY for c in choices
        ):
            raise ValueError(
                f'a choice is (kernel, expansion) or, once, {IDENTITY!r}; got choices={choices}'
            )
        if any(len(c) != 2 or c[0] % 2 == 0 or c[1] < 1 for c in choices if c != IDENTITY):
            raise ValueError(f'kernels are odd and expansions >= 1; got choices={choices}')
        if self.act not in ACTIVATIONS or self.se not in SQUEEZES:
            raise ValueError(
                f'act is one of {ACTIVATIONS} and se one of {SQUEEZES}; got act={self.act!r}, '
                f'se={self.se!r}'
            )
        if self.padding not in PADDINGS or self.published_flops not in COUNTERS:
            raise ValueError(
                f'padding is one of {PADDINGS} and published_flops one of {COUNTERS}; got '
                f'padding={self.padding!r}, published_flops={self.published_flops!r}'
            )
        if min(self.first_channels or 0, self.final_channels, self.head_channels) < 0:
            raise ValueError(
                f'channels are >= 0; got first_channels={self.first_channels}, '
                f'final_channels={self.final_channels}, head_channels={self.head_channels}'
            )
        eps = self.bn_eps
        if eps is not None and (type(eps) not in (int, float) or not 0 < eps < inf):
            raise ValueError(f'bn_eps is a number > 0, or None for that of torch; got {eps!r}')
        if type(self.head_norm) is not bool:
            raise ValueError(f'head_norm is True or False; got {self.head_norm!r}')
        if self.width_mult <= 0:
            raise ValueError(f'width_mult must be > 0; got {self.width_mult}')

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of choices at each searchable layer of the supernet."""
        return (len(self.choices),) * self.num_layers

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
    def stem_width(self) -> int:
        """Output channels of the stem."""
        return self.width(self.stem_channels)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of ``blocks.0`` ... ``blocks.{num_stages + 1}``.

        Without a first block, ``blocks.0`` is empty and passes the stem's output on; so does the
        last one without a conv1x1 behind the stages.
        """
        first = self.first_channels or self.stem_channels
        base = (first, *self.widths, self.final_channels or self.widths[-1])
        return tuple(self.width(channels) for channels in base)

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Strides of the maps of ``blocks.0`` ... ``blocks.{num_stages + 1}``, in pixels."""
        strides = tuple(accumulate(self.strides, mul, initial=self.stem_stride))
        return (*strides, strides[-1])

    @property
    def feature_indices(self) -> tuple[int, ...]:
        """Blocks whose outputs a detector takes: the last searchable stage of each resolution.

        In place of the smallest, the last conv1x1 where there is one and the head has a hidden
        one of its own; elsewhere that conv1x1 is the classifier's.
        """
        last = [i for i, s in enumerate(self.strides[1:], start=1) if s != 1]
        return (*last, self.num_stages + (self.head_channels > 0 and self.final_channels > 0))

    @property
    def last_block(self) -> int:
        """Index of the last of ``blocks`` that holds anything."""
        return self.num_stages + (self.final_channels > 0)

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
        self._check_name(arch)
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

    def sizes_of(self, arch: Arch) -> tuple[int, ...]:
        """Number of choices at each layer of ``arch``, whatever its depths."""
        return (len(self.choices),) * sum(arch.depths)

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """The inverse of :meth:`encode`, for the supernet's depths or those of ``like``."""
        stages, start = [], 0
        for depth in self.depths if like is None else like.depths:
            stages.append(tuple(flat[start : start + depth]))
            start += depth
        return Arch(tuple(stages), self.name)

    def factors(self, position: int) -> list[tuple[int, int]]:
        """(kernel, expansion) of each choice; (0, 0) is the identity."""
        return [(0, 0) if choice == IDENTITY else choice for choice in self.choices]

    @property
    def named_choices(self) -> dict[str, int]:
        """The identity's index, if there is one."""
        return {c: i for i, c in enumerate(self.choices) if isinstance(c, str)}

    def canonical(self, arch: Arch) -> Arch:
        """The one architecture that stands for all that are the same network as ``arch``.

        An identity that changes nothing may stand anywhere among the layers of its stage: here
        it stands last. A stage's first layer stays where it is if it changes size or width.
        """
        if IDENTITY not in self.choices:
            return arch
        skip, stages = self.choices.index(IDENTITY), []
        firsts = (spec for spec in self.layers() if spec.layer == 0)
        for choices, first in zip(arch.stages, firsts):
            fixed, free = choices[: first.reshapes], choices[first.reshapes :]
            kept = tuple(choice for choice in free if choice != skip)
            stages.append((*fixed, *kept, *(skip,) * (len(free) - len(kept))))
        return Arch(tuple(stages), arch.space)

    def _accept(self, arch: Arch) -> Arch:
        """A network may be deeper than the supernet."""
        return self.validate(arch, any_depth=True)

    def of_network(self, arch: Arch) -> 'MBConvSpace':
        """The space with the depths of ``arch``."""
        return replace(self, depths=arch.depths)

    # ---- as data -----------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Keyword arguments that build this space again; plain JSON values, without a type.

        Fields that came later are left out at their defaults, so that files of spaces that do
        not have them are as they were.
        """
        later = {f.name: f.default for f in fields(self) if f.name in LATER_FIELDS}
        values = {k: v for k, v in asdict(self).items() if k not in later or v != later[k]}
        return {k: _to_lists(v) for k, v in values.items()}

    @classmethod
    def settings(cls, cfg: 'Mapping | str | MBConvSpace | None' = None) -> dict:
        """Keyword arguments of the space that ``cfg`` describes; see :meth:`build`."""
        if isinstance(cfg, cls):
            return cfg.to_dict()
        cfg = dict(preset=cfg) if isinstance(cfg, str) else dict(cfg or {})
        kind = cfg.pop('type', cls)
        if kind is not cls and type_name(kind) != cls.__name__:
            raise ValueError(f'this takes a {cls.__name__}; got a space of type {kind!r}')
        preset = cfg.pop('preset', 'cream')
        if preset not in SPACE_PRESETS:
            raise ValueError(f'no space is named {preset!r}; there are {list(SPACE_PRESETS)}')
        return {**SPACE_PRESETS[preset], **cfg}

    @classmethod
    def build(cls, cfg: 'Mapping | str | MBConvSpace | None' = None) -> 'MBConvSpace':
        """Make a space from a config, or pass one through.

        Args:
            cfg (dict | str | MBConvSpace, optional): Fields of the space. The key ``preset``
                names a published one (of ``SPACE_PRESETS``) that the other keys change; the name
                alone will do too.

        Raises:
            ValueError: If the dict has a key that a space does not know, or a name is unknown.
        """
        if isinstance(cfg, cls):
            return cfg
        cfg = cls.settings(cfg)
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(cfg) - set(known))
        if unknown:
            raise ValueError(
                f"a search space has no {unknown}; it knows {known}, and 'preset' to begin from"
            )
        return cls(**cfg)


def _to_lists(value):
    return [_to_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
