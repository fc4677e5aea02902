"""An architecture as a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arch:
    """One network of a search space: which choice stands at each searchable layer.

    Immutable and hashable, so it can be a dictionary key, be compared, and be handed from the
    sampler to the supernet, the board and the export without anyone changing it.

    Args:
        stages (tuple[tuple[int]]): One tuple of choice indices per searchable stage.
        space (str): Name of the space the indices belong to. Defaults to 'cream'.
        fixed_ends (bool): Whether nested lists carry a ``[0]`` at both ends, for stages in which
            there is nothing to choose. A manner of writing: architectures that differ in it alone
            are equal. Defaults to True.

    Reference:
        The nested-list notation ``[[0], [stage 1], ..., [stage 5], [0]]`` of the released Cream
        code, whose first and last lists stand for the two fixed stages.
    """

    stages: tuple[tuple[int, ...], ...]
    space: str = 'cream'
    fixed_ends: bool = field(default=True, compare=False)

    def __post_init__(self):
        stages = tuple(tuple(int(choice) for choice in stage) for stage in self.stages)
        object.__setattr__(self, 'stages', stages)

    @classmethod
    def from_list(
        cls, nested: Sequence[Sequence[int]], space: str = 'cream', fixed_ends: bool = True
    ) -> 'Arch':
        """Read the nested list that :meth:`to_list` gives; see also :meth:`Space.parse`.

        Raises:
            ValueError: If ``nested`` is not a list of lists of integers that begins and ends
                with ``[0]``, where there are fixed ends.
        """
        ok = isinstance(nested, (list, tuple)) and len(nested) >= (3 if fixed_ends else 1)
        ok = ok and all(isinstance(stage, (list, tuple)) for stage in nested)
        ok = ok and all(type(c) is int for stage in nested for c in stage)
        if ok and fixed_ends:
            ok = list(nested[0]) == list(nested[-1]) == [0]
        if not ok:
            form = (
                '[[0], [stage 1], ..., [stage 5], [0]] with one choice index per layer, for '
                'example [[0],[0],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]'
                if fixed_ends
                else '[[part 1], [part 2], ...] with one choice index per position'
            )
            raise ValueError(f'an architecture is written {form}; got {repr(nested)[:200]}')
        stages = nested[1:-1] if fixed_ends else nested
        return cls(tuple(tuple(stage) for stage in stages), space, fixed_ends)

    def to_list(self) -> list:
        """The nested list, fixed ends included where there are such."""
        stages = [list(stage) for stage in self.stages]
        return [[0], *stages, [0]] if self.fixed_ends else stages

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of layers in each searchable stage."""
        return tuple(len(stage) for stage in self.stages)

    def __str__(self) -> str:
        return str(self.to_list()).replace(' ', '')
