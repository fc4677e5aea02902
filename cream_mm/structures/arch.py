"""An architecture as a value."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Arch:
    """One network of a search space: which choice stands at each searchable layer.

    Immutable and hashable, so it can be a dictionary key, be compared, and be handed from the
    sampler to the supernet, the board and the export without anyone changing it.

    Args:
        stages (tuple[tuple[int]]): One tuple of choice indices per searchable stage.
        space (str): Name of the space the indices belong to. Defaults to 'cream'.

    Reference:
        The nested-list notation ``[[0], [stage 1], ..., [stage 5], [0]]`` of the released Cream
        code, whose first and last lists stand for the two fixed stages.
    """

    stages: tuple[tuple[int, ...], ...]
    space: str = 'cream'

    def __post_init__(self):
        stages = tuple(tuple(int(choice) for choice in stage) for stage in self.stages)
        object.__setattr__(self, 'stages', stages)

    @classmethod
    def from_list(cls, nested: Sequence[Sequence[int]], space: str = 'cream') -> 'Arch':
        """Read the official nested list, fixed stages included.

        Raises:
            ValueError: If ``nested`` is not a list of lists of integers that begins and ends
                with ``[0]``.
        """
        ok = isinstance(nested, (list, tuple)) and len(nested) >= 3
        ok = ok and all(isinstance(stage, (list, tuple)) for stage in nested)
        ok = ok and all(type(c) is int for stage in nested for c in stage)
        if not ok or list(nested[0]) != [0] or list(nested[-1]) != [0]:
            raise ValueError(
                'an architecture is written [[0], [stage 1], ..., [stage 5], [0]] with one choice '
                f'index per layer, for example [[0],[0],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]; '
                f'got {repr(nested)[:200]}'
            )
        return cls(tuple(tuple(stage) for stage in nested[1:-1]), space)

    @classmethod
    def from_string(cls, text: str, space: str = 'cream') -> 'Arch':
        """Read the nested list from text, as it is typed on a command line."""
        try:
            nested = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            nested = text
        return cls.from_list(nested, space)

    def to_list(self) -> list:
        """The official nested list, fixed stages included."""
        return [[0], *(list(stage) for stage in self.stages), [0]]

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of layers in each searchable stage."""
        return tuple(len(stage) for stage in self.stages)

    def __str__(self) -> str:
        return str(self.to_list()).replace(' ', '')
