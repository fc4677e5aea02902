"""Which bank serves which position where no gate decides: a table that is refined by splitting."""

from collections.abc import Sequence
from dataclasses import dataclass

RULES = ('pre', 'max')


@dataclass(frozen=True)
class SplitTable:
    """Banks of the positions of a stage, each of a run of neighbours.

    One bank begins with all positions. Another one begins when a run is split in the middle: it
    takes the right half, which is the larger one of an odd number. Banks are numbered in the order
    in which they begin.

    Args:
        runs (Sequence[tuple[int, int]]): Of each bank, its first position and the one behind its
            last.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), its spaces without cells (NDS-ResNet, NDS-ResNeXt-A), where
        it is the same table in every stage. Differs: the released code under ``'pre'`` passes over
        runs that start behind its number of curricula, and where no run is left it splits that of
        bank 0, whatever its length, into nothing and the rest; ``limit`` does both. With as many
        curricula as banks, as in its configs, it is the same.
    """

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def whole(cls, num_positions: int) -> 'SplitTable':
        """One bank for all positions."""
        if num_positions < 1:
            raise ValueError(f'a table has at least one position; got {num_positions}')
        return cls(((0, num_positions),))

    @property
    def num_banks(self) -> int:
        return len(self.runs)

    @property
    def banks(self) -> tuple[int, ...]:
        """The bank of each position."""
        owners = {p: bank for bank, run in enumerate(self.runs) for p in range(*run)}
        return tuple(owners[position] for position in sorted(owners))

    @property
    def run_lengths(self) -> tuple[int, ...]:
        """How many positions share a bank, from the first position to the last."""
        return tuple(end - start for start, end in sorted(self.runs) if end > start)

    @property
    def idle(self) -> tuple[int, ...]:
        """Banks without a position; there are none without ``limit``."""
        return tuple(bank for bank, (start, end) in enumerate(self.runs) if end == start)

    def to_split(self, rule: str = 'pre') -> int | None:
        """The bank that the next split is of; None where each position has one of its own.

        Args:
            rule (str): ``'pre'``: that of the first run of several positions. ``'max'``: that of
                the longest, of equals the one that began first.
        """
        return self._choose(rule, None)

    def _choose(self, rule: str, limit: int | None) -> int | None:
        if rule not in RULES:
            raise ValueError(f'rule is one of {RULES}; got {rule!r}')
        several = [
            (start, bank, end - start)
            for bank, (start, end) in enumerate(self.runs)
            if end - start > 1 and (rule == 'max' or limit is None or start < limit)
        ]
        if not several:
            return None
        if rule == 'pre':
            return min(several)[1]
        longest = max(length for *_, length in several)
        return min(bank for _, bank, length in several if length == longest)

    def split(self, rule: str = 'pre', limit: int | None = None) -> tuple['SplitTable', int]:
        """One more bank.

        Args:
            rule (str): See :meth:`to_split`.
            limit (int, optional): Runs from this position on are passed over by ``'pre'``, and
                where none is left, bank 0 is split; the released code has the number of its
                curricula and one more. Defaults to none.

        Returns:
            tuple[SplitTable, int]: The table, whose last bank is the new one, and the bank that its
            positions had before.

        Raises:
            ValueError: If each position has a bank of its own and there is no ``limit``.
        """
        old = self._choose(rule, limit)
        if old is None:
            if limit is None:
                raise ValueError(
                    f'each of the {len(self.banks)} positions has a bank of its own: there is '
                    'nothing to split'
                )
            old = 0
        start, end = self.runs[old]
        middle = (start + end) // 2
        runs = [*self.runs, (middle, end)]
        runs[old] = (start, middle)
        return SplitTable(tuple(runs)), old

    def grown(
        self, num_banks: int, rule: str = 'pre', limit: int | None = None
    ) -> tuple['SplitTable', list[tuple[int, int]]]:
        """Split until there are ``num_banks``.

        Returns:
            tuple[SplitTable, list[tuple[int, int]]]: The table, and (old, new) of each split in
            order: what is inherited from which.
        """
        table, splits = self, []
        while table.num_banks < num_banks:
            table, old = table.split(rule, limit)
            splits.append((old, table.num_banks - 1))
        return table, splits


def split_layers(
    stages: Sequence[int], num_banks: int, rule: str = 'pre', private: int = 1
) -> list[int]:
    """The tables of several stages as one, whose banks are named by positions.

    Args:
        stages (Sequence[int]): Positions of each.
        num_banks (int): Of each stage, or as many as it has positions to share.
        rule (str): See :meth:`SplitTable.to_split`.
        private (int): First positions of each stage, whose banks are their own.

    Returns:
        list[int]: For each position the one whose bank it has: bank b of a stage is that of its
        b-th position behind the private ones.

    >>> split_layers([4, 6], 3)
    [0, 1, 2, 3, 4, 5, 7, 6, 6, 6]
    """
    table: list[int] = []
    for number in stages:
        start, shared = len(table) + private, number - private
        table += range(start - private, start)
        if shared > 0:
            split, _ = SplitTable.whole(shared).grown(min(num_banks, shared), rule)
            table += [start + bank for bank in split.banks]
    return table
