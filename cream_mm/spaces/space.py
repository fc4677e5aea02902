"""What a search space promises to everything that searches in it."""

import ast
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from ..registry import TASK_UTILS, type_name
from ..structures import Arch
from .cell_graph import CellGraph

MAX_TEXT = 10_000  # of an architecture that is typed, or stands in a file


class Space(ABC):
    """Which architectures there are. Samplers, strategies and costs know a space by this alone.

    An architecture is one choice at each position. Its flat form is the nested integers of
    :class:`Arch` one after the other, so that position ``i`` of ``sizes`` is the ``i``-th integer
    of a whole architecture. Spaces are values: equal settings make equal, hashable spaces.

    Attributes:
        name (str): The name that its architectures carry.
        sizes (tuple[int]): Number of choices at each position of a whole architecture.
        in_channels (int): Channels of an image. Defaults to 3.
        sized_by (str): What of it makes its networks larger or smaller, for a message.
        positions_per_step (int): Positions that are read together, one after the other, by what
            learns from architectures; the number of positions is a multiple. Defaults to 1.
        fixed_ends (bool): Whether its nested lists begin and end with ``[0]``, see :class:`Arch`.
            Defaults to False.
    """

    name: str
    sizes: tuple[int, ...]
    in_channels: int = 3
    sized_by: ClassVar[str] = 'the space'
    fixed_ends: bool = False
    positions_per_step: ClassVar[int] = 1
    file_words: ClassVar[Mapping[str, tuple] | None] = None
    """What a file may say of a space of this class: numbers, lists of such, a name, and for these
    entries other values, too. An empty tuple is any word; the space itself refuses the wrong ones.
    None: no file names one, as its architectures are no networks."""

    # ---- what each space says ----------------------------------------------------------------

    @abstractmethod
    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """The inverse of :meth:`encode`.

        Args:
            flat (Sequence[int]): One choice per position.
            like (Arch, optional): What the nesting is taken from, where a space has
                architectures of several. None is a whole architecture.
        """

    @abstractmethod
    def to_dict(self) -> dict:
        """Plain JSON values from which :func:`build_space` makes this space again."""

    def factors(self, position: int) -> list[tuple[int, ...]]:
        """What each choice at a position is made of, as numbers to learn from.

        Choices that share a number share that property, as (kernel, expansion) do. All of a
        position are different and of one length.
        """
        return [(choice,) for choice in range(self.sizes[position])]

    def canonical(self, arch: Arch) -> Arch:
        """The one architecture that stands for all that are the same network as ``arch``."""
        return arch

    def rewrite(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """The same network written in another way, drawn; ``arch`` where there is no other.

        What learns from architectures may learn from each way to write them.
        """
        return arch

    def is_trainable(self, arch: Arch) -> bool:
        """Whether a training changes what the network makes of its input.

        Samplers do not train a path that is not, and no strategy proposes it.
        """
        return True

    def reduced(self, arch: Arch) -> Arch:
        """What a search proposes in place of ``arch``: the same network, less what is idle in it.

        ``arch`` itself, unless the space has choices that do nothing where others cut them off.
        """
        return arch

    def proposes(self, arch: Arch) -> bool:
        """Whether a search may answer with it, costs aside: it trains, and nothing is idle."""
        return self.is_trainable(arch) and self.reduced(arch) == arch

    def count_layers(self, arch: Arch) -> int:
        """Layers that are no identity: how deep a network is, as a score that costs nothing."""
        skip = self.named_choices.get('identity')
        return sum(choice != skip for choice in self.encode(arch))

    def with_other_strides(self) -> list['Space']:
        """Spaces whose networks have the same weights, and maps of other strides."""
        return []

    def of_network(self, arch: Arch) -> 'Space':
        """The space as a network alone names it: with its own depths, where these can differ."""
        return self

    def odds(self, position: int) -> list[float]:
        """How often a draw takes each choice at a position, in proportion."""
        return [1.0] * self.sizes[position]

    @property
    def named_choices(self) -> dict[str, int]:
        """Choices that have a name to be asked for by, such as 'identity'."""
        return {}

    @property
    def named_positions(self) -> Sequence[int]:
        """Positions at which :attr:`named_choices` and :attr:`choice_words` mean something."""
        return range(len(self.sizes))

    @property
    def num_networks(self) -> int:
        """How many networks there are to find, each way to write one counted."""
        return math.prod(self.sizes)

    @classmethod
    def settings(cls, cfg: 'Mapping | Space | None' = None) -> dict:
        """Keyword arguments of the space that ``cfg`` describes; see :meth:`build`.

        Raises:
            ValueError: If it is of another class.
        """
        cfg = cfg.to_dict() if isinstance(cfg, Space) else dict(cfg or {})
        kind = cfg.pop('type', cls)
        if kind is not cls and type_name(kind) != cls.__name__:
            raise ValueError(f'this takes a {cls.__name__}; got a space of type {kind!r}')
        return cfg

    @classmethod
    def build(cls, cfg: 'Mapping | Space | None' = None) -> 'Space':
        """Make a space from the entries of a config, or pass one through.

        Raises:
            ValueError: If it has a key that the space does not know, or is of another class.
        """
        if isinstance(cfg, cls):
            return cfg
        cfg = cls.settings(cfg)
        known = list(inspect.signature(cls).parameters)
        if unknown := sorted(set(cfg) - set(known)):
            raise ValueError(f'a {cls.__name__} has no {unknown}; it has {", ".join(known)}')
        return cls(**cfg)

    # ---- architectures -----------------------------------------------------------------------

    def validate(self, arch: Arch) -> Arch:
        """Return ``arch`` if it is one of the space that a search may propose.

        Raises:
            ValueError: With the first thing that is wrong and what is accepted.
        """
        self._check_name(arch)
        example = self.decode([0] * len(self.sizes))
        if arch.depths != example.depths:
            raise ValueError(f'{arch} is not nested as in {self.name!r}, for example {example}')
        for position, (choice, size) in enumerate(zip(self.encode(arch), self.sizes)):
            if not 0 <= choice < size:
                raise ValueError(
                    f'choice {choice} at position {position} of {arch} is not one of 0..{size - 1}'
                )
        return arch

    def sizes_of(self, arch: Arch) -> tuple[int, ...]:
        """Number of choices at each position of ``arch``, which may lack some of the space's."""
        return self.sizes

    def sample(self, rng: np.random.Generator, op_prob: Sequence[float] | None = None) -> Arch:
        """Draw one whole architecture, each position on its own.

        Args:
            rng (np.random.Generator): Source of randomness.
            op_prob (Sequence[float], optional): Probability of each choice, where all positions
                have as many. Uniform if None.
        """
        size, *others = set(self.sizes)
        if others:
            if op_prob is not None:
                raise ValueError(f'op_prob needs equal sizes at all positions; got {self.sizes}')
            return self.decode(rng.integers(self.sizes))
        return self.decode(rng.choice(size, size=len(self.sizes), p=op_prob))

    def mutate(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """Change the choice at one random position to another one.

        Without a position that has two choices there is nothing to change.
        """
        flat, sizes = self.encode(arch), self.sizes_of(arch)
        free = [i for i, size in enumerate(sizes) if size > 1]
        if not free:
            return arch
        place = free[rng.integers(len(free))]
        flat[place] = (flat[place] + rng.integers(1, sizes[place])) % sizes[place]
        return self.decode(flat, like=arch)

    def encode(self, arch: Arch) -> list[int]:
        """Choices as one flat list of integers."""
        return [choice for stage in arch.stages for choice in stage]

    # ---- as text -----------------------------------------------------------------------------

    @classmethod
    def claims(cls, text: str) -> bool:
        """Whether a text is an architecture of this class of spaces, whatever else it may be.

        Where it is, nobody has to name the space.
        """
        return False

    choice_words: ClassVar[tuple[str, ...]] = ()
    """What a report calls the choices at all of :attr:`named_positions`; without any it shows
    numbers."""
    written_as: ClassVar[str] = 'choice index of each layer, stages separated by bars'
    """How the text of an architecture is to be read, for a report."""

    def cell_graphs(self, arch: Arch) -> tuple[CellGraph, ...]:
        """The cells that a network repeats, for a drawing; none where it has no cells."""
        return ()

    def write(self, arch: Arch) -> str | list:
        """As configs have it, for :meth:`parse`."""
        return arch.to_list()

    def spell(self, arch: Arch) -> str:
        """The same as text, for logs and comments."""
        written = self.write(arch)
        return written if isinstance(written, str) else str(arch)

    def parse(self, value: str | Sequence | Arch) -> Arch:
        """Read an architecture: the one way in, from command lines, configs, logs and tables.

        Args:
            value (str | list | Arch): A nested list as :meth:`Arch.to_list` gives it, a flat list
                with one choice per position, one digit per position (``'01201201'``; with the
                parts of the nested list parted by spaces, for those of another nesting than
                most: ``'01 20 120'``), or a list as text.

        Returns:
            Arch: An architecture of the space, be it a network that no search proposes, such as
            one that is deeper than the supernet.

        Raises:
            ValueError: If it is none of these, or not an architecture of the space.
        """
        if isinstance(value, Arch):
            return self._accept(value)
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                raise ValueError(f'not an architecture: a text of {len(value)} characters')
            digits = value.split()
            if digits and all(part.isascii() and part.isdigit() for part in digits):
                return self._from_digits(value, digits)
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                raise ValueError(self._not_one(value)) from None
        if not isinstance(value, (list, tuple)):
            raise ValueError(self._not_one(value))
        if value and all(type(choice) is int for choice in value):
            if len(value) != len(self.sizes):
                raise ValueError(
                    f'{len(value)} choices; {self.name!r} has {len(self.sizes)} layers'
                )
            return self._accept(self.decode(value))
        return self._accept(Arch.from_list(value, self.name, self.fixed_ends))

    def format(self, arch: Arch) -> str:
        """The shortest text that :meth:`parse` reads: digits, or a list where they do not do."""
        whole = arch.depths == self.decode([0] * len(self.sizes)).depths
        alone = not whole and len(arch.stages) == 1  # its digits would be taken for a whole one
        if max(self.sizes) > 10 or alone:
            return str(arch)
        return ('' if whole else ' ').join(''.join(map(str, stage)) for stage in arch.stages)

    def _from_digits(self, text: str, parts: list[str]) -> Arch:
        digits = [[int(digit) for digit in part] for part in parts]
        if len(digits) > 1:
            stages = tuple(map(tuple, digits))
            return self._accept(Arch(stages, self.name, fixed_ends=self.fixed_ends))
        if len(digits[0]) != len(self.sizes):
            raise ValueError(
                f'{text!r} has {len(digits[0])} digits; {self.name!r} has {len(self.sizes)} layers '
                '(for other depths, part the stages by spaces)'
            )
        return self._accept(self.decode(digits[0]))

    def _not_one(self, value) -> str:
        example, text = self.decode([0] * len(self.sizes)), repr(value)
        text = text if len(text) <= 80 else f'{text[:80]}...'
        return (
            f'not an architecture: {text}; in {self.name!r} it is written {example}, or in digits, '
            f'{self.format(example)!r}'
        )

    def _accept(self, arch: Arch) -> Arch:
        """Check what was read."""
        return self.validate(arch)

    def _check_name(self, arch: Arch) -> None:
        if arch.space != self.name:
            raise ValueError(f'{arch} belongs to space {arch.space!r}, not to {self.name!r}')


def build_space(cfg: Mapping | str | Space | None = None) -> Space:
    """Make a space from a config, or pass one through.

    Args:
        cfg (dict | str | Space, optional): ``type`` is the name of a space in ``TASK_UTILS``, or
            a class, and defaults to 'MBConvSpace'; the other keys are its fields. A name alone is
            that of a preset, see :meth:`MBConvSpace.build`. As everywhere in mmengine, a dotted
            type is imported: check that of a file from elsewhere before.

    Raises:
        ValueError: If the type is not that of a space, or a field is wrong.
    """
    if isinstance(cfg, Space):
        return cfg
    cfg = dict(preset=cfg) if isinstance(cfg, str) else dict(cfg or {})
    kind = cfg.pop('type', 'MBConvSpace')
    found = kind if inspect.isclass(kind) else _find(str(kind))
    if not (inspect.isclass(found) and issubclass(found, Space)):
        names = ', '.join(sorted(known_spaces()))
        raise ValueError(f'{kind!r} is not a search space; there are {names}')
    return found.build(cfg)


def known_spaces() -> dict[str, type[Space]]:
    """The classes of spaces by their names: those of this package, and registered ones."""
    classes = (c for c in TASK_UTILS.module_dict.values() if inspect.isclass(c))
    return {c.__name__: c for c in classes if issubclass(c, Space)}


def _find(name: str) -> type | None:
    # What is known needs no look at all that could be: that imports every method.
    known = TASK_UTILS.module_dict.get(name.removeprefix('cream_mm.'))
    return known or TASK_UTILS.get(name)
