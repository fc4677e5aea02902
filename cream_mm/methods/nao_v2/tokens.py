"""Architectures as sequences of tokens, for what learns from them."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from ...spaces import Space
from ...structures import Arch

START = 0  # stands before the first token of a sequence that is written


class Tokens:
    """The alphabet of a space, and which words of it are architectures.

    A sequence has one *step* for each ``space.positions_per_step`` positions of the space, and each
    step ``width`` tokens: what the choices at its positions are made of (:meth:`Space.factors`),
    one after the other. A token belongs to one slot of a step: its number says which value stands
    in which slot. Slot after slot, the values that occur in any step are numbered from 1 on in
    their order; 0 is the start of a sequence.

    Args:
        space (Space): Whose architectures are read and written.

    Attributes:
        vocabulary (int): Number of tokens, the start included.
        steps (int): Steps of a sequence.
        width (int): Tokens of a step.
        follows (ndarray): (states, vocabulary) of int64, an automaton that writes a step: the
            state after a token, or -1 where the token leads to no choice of this step.
        starts (ndarray): (steps,) of int64, the state in which each step begins.

    Raises:
        ValueError: If steps have different numbers of tokens.

    Reference:
        NAO-V2, released code: steps are pairs of an input and an operation; 0 starts, 1 to 6 are
        inputs, 7 to 11 operations.
    """

    def __init__(self, space: Space):
        self.space = space
        group, places = space.positions_per_step, len(space.sizes)
        # Of each step, the choices at its positions by what they are made of.
        words: list[dict[tuple[int, ...], tuple[int, ...]]] = []
        for first in range(0, places, group):
            factors = [space.factors(place) for place in range(first, min(first + group, places))]
            words.append(
                {
                    sum((kinds[c] for kinds, c in zip(factors, choices)), ()): choices
                    for choices in product(*(range(len(kinds)) for kinds in factors))
                }
            )
        widths = {len(values) for step in words for values in step}
        if len(widths) != 1:
            raise ValueError(
                f'choices of {space.name!r} are made of {min(widths)} to {max(widths)} numbers: '
                'all positions have to be alike in this (Space.factors)'
            )
        self.width = widths.pop()
        self.steps = len(words)
        number, self.vocabulary = [], 1
        for slot in range(self.width):
            values = sorted({values[slot] for step in words for values in step})
            number.append({value: self.vocabulary + i for i, value in enumerate(values)})
            self.vocabulary += len(values)
        self._choices = [
            {
                tuple(number[slot][value] for slot, value in enumerate(values)): choices
                for values, choices in step.items()
            }
            for step in words
        ]
        self._written = [
            {choices: tokens for tokens, choices in step.items()} for step in self._choices
        ]
        self._group = group
        self._build()

    @property
    def length(self) -> int:
        """Tokens of a sequence."""
        return self.steps * self.width

    def _build(self) -> None:
        rows: list[list[int]] = []
        known: dict[frozenset, int] = {}
        starts = []
        for step in self._choices:
            alphabet = frozenset(step)
            if alphabet not in known:
                known[alphabet] = len(rows)
                states = {(): len(rows)}
                rows.append([-1] * self.vocabulary)
                for tokens in sorted(alphabet):
                    for end in range(1, self.width + 1):
                        prefix = tokens[:end]
                        if prefix not in states:
                            states[prefix] = len(rows)
                            rows.append([-1] * self.vocabulary)
                            rows[states[prefix[:-1]]][prefix[-1]] = states[prefix]
            starts.append(known[alphabet])
        self.follows = np.array(rows, dtype=np.int64)
        self.starts = np.array(starts, dtype=np.int64)

    def encode(self, arch: Arch) -> list[int]:
        """The tokens of a whole architecture.

        Raises:
            ValueError: If it lacks positions of the space.
        """
        flat, group = self.space.encode(arch), self._group
        if len(flat) != len(self.space.sizes):
            raise ValueError(
                f'{arch} has {len(flat)} choices; whole architectures of {self.space.name!r} have '
                f'{len(self.space.sizes)}'
            )
        tokens: list[int] = []
        for i, written in enumerate(self._written):
            tokens += written[tuple(flat[i * group : (i + 1) * group])]
        return tokens

    def decode(self, tokens: Sequence[int]) -> Arch:
        """The architecture that a sequence stands for.

        Raises:
            ValueError: If it stands for none.
        """
        tokens, width = [int(token) for token in tokens], self.width
        if len(tokens) != self.length:
            raise ValueError(f'{len(tokens)} tokens; a sequence here has {self.length}')
        flat: list[int] = []
        for i, choices in enumerate(self._choices):
            step = tuple(tokens[i * width : (i + 1) * width])
            if step not in choices:
                raise ValueError(f'tokens {step} of step {i} are no choice of {self.space.name!r}')
            flat += choices[step]
        return self.space.decode(flat)
