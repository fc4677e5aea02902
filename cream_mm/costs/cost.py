"""What one layer or one network costs, and in which units."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Counts of one layer or one network, and its time where it was measured. Adds up.

    The counting conventions: docs/conventions.md.
    """

    macs: int = 0
    params: int = 0
    board_flops: int = 0
    published_flops: int = 0
    latency_ms: float | None = None  # None: not measured

    def __add__(self, other: 'Cost') -> 'Cost':
        """Component by component; what has no latency adds none."""
        times = [cost.latency_ms for cost in (self, other) if cost.latency_ms is not None]
        counts = (a + b for a, b in zip(self[:4], other[:4]))
        return Cost(*counts, sum(times[1:], times[0]) if times else None)

    def in_units(self) -> dict[str, float]:
        """``macs_m``, ``params_m``, ... in millions, and ``latency_ms`` where there is one."""
        units = {f'{name}_m': value / 1e6 for name, value in zip(self._fields[:4], self)}
        return units if self.latency_ms is None else dict(units, latency_ms=self.latency_ms)

    def told(self) -> str:
        """For a line: ``287.35 MMACs``, and ``4.21 ms`` where it was measured."""
        time = '' if self.latency_ms is None else f', {self.latency_ms:.3g} ms'
        return f'{self.macs / 1e6:.2f} MMACs{time}'


BUDGET_KEYS = (*Cost().in_units(), 'latency_ms')
"""Names of the units, as budgets, reports and strategies have them."""
