"""Bounds on what an architecture may cost."""

from ..structures import Arch
from .cost_model import CostModel
from .macs import Cost

BUDGET_KEYS = tuple(f'{name}_m' for name in Cost._fields)


class Budget:
    """Ranges that an architecture's costs must lie in, both ends included.

    Args:
        cost_model (CostModel): Counts an architecture.
        **bounds: ``macs_m=(low, high)``, ``params_m=...``, ``board_flops_m=...``,
            ``published_flops_m=...``, in millions; None leaves an end open.

    Raises:
        ValueError: If a name is unknown, a range is empty, or no network of the space can lie in
            it; the message tells what the space offers.
    """

    def __init__(self, cost_model: CostModel, **bounds):
        self.cost_model = cost_model
        self.bounds: dict[str, tuple[float | None, float | None]] = {}
        smallest, largest = cost_model.extremes()
        for key, bound in bounds.items():
            if key not in BUDGET_KEYS:
                raise ValueError(f'a budget has no {key!r}; it knows {", ".join(BUDGET_KEYS)}')
            if not isinstance(bound, (list, tuple)) or len(bound) != 2:
                raise ValueError(f'budget {key} is a pair (low, high) in millions; got {bound!r}')
            low, high = bound
            low_ok = low is None or low <= largest[key]
            high_ok = high is None or high >= smallest[key]
            if not (low_ok and high_ok) or (low is not None and high is not None and low > high):
                height, width = cost_model.input_size
                raise ValueError(
                    f'budget {key}=({low}, {high}) cannot be met: at {height}x{width} pixels the '
                    f'networks of this search space lie between {smallest[key]:.3f} and '
                    f'{largest[key]:.3f}. Change the budget, the input size, or depths and '
                    'width_mult of the space'
                )
            self.bounds[key] = (low, high)

    def excess(self, arch: Arch) -> float:
        """How far ``arch`` lies outside, relative to the bounds, summed; 0.0 when inside."""
        if not self.bounds:
            return 0.0
        cost = self.cost_model.cost(arch).in_millions()
        total = 0.0
        for key, (low, high) in self.bounds.items():
            if low is not None and cost[key] < low:
                total += (low - cost[key]) / low
            if high is not None and cost[key] > high:
                total += (cost[key] - high) / high
        return total

    def is_feasible(self, arch: Arch) -> bool:
        """Whether every cost of ``arch`` lies within its bounds."""
        return self.excess(arch) == 0.0

    def to_dict(self) -> dict:
        """The bounds as plain JSON values."""
        return {key: list(bound) for key, bound in self.bounds.items()}

    def __str__(self) -> str:
        if not self.bounds:
            return 'no budget'
        return ', '.join(f'{key} in {list(bound)}' for key, bound in self.bounds.items())
