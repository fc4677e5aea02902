"""Bounds on what an architecture may cost."""

from collections.abc import Sequence

from ..structures import Arch
from .cost import BUDGET_KEYS
from .cost_model import CostModel


class Budget:
    """Ranges that an architecture's costs must lie in, both ends included.

    Args:
        cost_model (CostModel): Counts an architecture.
        **bounds: ``macs_m=(low, high)``, ``params_m=...``, ``board_flops_m=...``,
            ``published_flops_m=...``, in millions, ``latency_ms=...``; None leaves an end open, or
            the whole cost.

    Raises:
        ValueError: If a name is unknown, a range is empty, there is no such cost, or no network
            of the space can lie in it, as far as the cost model knows what there is; the message
            tells what the space offers.
    """

    def __init__(self, cost_model: CostModel, **bounds: Sequence[float | None]):
        self.cost_model = cost_model
        self.bounds: dict[str, tuple[float | None, float | None]] = {}
        for key, bound in bounds.items():
            if key not in BUDGET_KEYS:
                raise ValueError(f'a budget has no {key!r}; it knows {", ".join(BUDGET_KEYS)}')
            if bound is None:
                continue
            if not isinstance(bound, (list, tuple)) or len(bound) != 2:
                unit = 'milliseconds' if key == 'latency_ms' else 'millions'
                raise ValueError(f'budget {key} is a pair (low, high) in {unit}; got {bound!r}')
            self._check(key, *bound)
            self.bounds[key] = tuple(bound)

    def _check(self, key: str, low: float | None, high: float | None) -> None:
        model = self.cost_model
        if key == 'latency_ms' and not _is_timed(model):
            raise ValueError(
                f'budget {key}=({low}, {high}) needs measured times: "python tools/latency.py '
                'build CONFIG --out latency.json" measures them here; then give the config '
                "latency='latency.json', or bound 'macs_m' instead"
            )
        if low is not None and high is not None and low > high:
            raise ValueError(f'budget {key}=({low}, {high}) cannot be met{self._offer(key)}')
        ends = model.extremes()
        if ends is None:
            return
        smallest, largest = ends
        if (low is not None and low > largest[key]) or (high is not None and high < smallest[key]):
            raise ValueError(f'budget {key}=({low}, {high}) cannot be met{self._offer(key)}')

    def _offer(self, key: str) -> str:
        """What the space has, for the message."""
        size, ends = self.cost_model.input_size, self.cost_model.extremes()
        if ends is None:
            return ': its lower end is above the upper one'
        at = f'at {size[0]}x{size[1]} pixels ' if size else ''
        return (
            f': {at}the networks of this search space lie between {ends[0][key]:.3f} and '
            f'{ends[1][key]:.3f} {_unit(key)}. Change the budget, the input size, or '
            f'{self.cost_model.space.sized_by}'
        )

    def unused(self) -> list[str]:
        """A line for each bound that every network of the space keeps."""
        ends, lines = self.cost_model.extremes(), []
        for key, (low, high) in self.bounds.items() if ends is not None else ():
            least, most = ends[0][key], ends[1][key]
            if leaves_out_nothing((low, high), least, most):
                lines.append(
                    f'{key} leaves out nothing: the networks lie between {least:.4g} and '
                    f'{most:.4g} {_unit(key)}'
                )
        return lines

    def violation(self, arch: Arch) -> float:
        """How far ``arch`` lies outside, relative to the bounds, summed; 0.0 when inside."""
        if not self.bounds:
            return 0.0
        cost = self.cost_model.cost(arch).in_units()
        total = 0.0
        for key, (low, high) in self.bounds.items():
            if key not in cost:
                raise ValueError(f'{arch} has no {key}: it is deeper than what was measured')
            if low is not None and cost[key] < low:
                total += (low - cost[key]) / (low or 1.0)
            if high is not None and cost[key] > high:
                total += (cost[key] - high) / (high or 1.0)
        return total

    def is_feasible(self, arch: Arch) -> bool:
        """Whether every cost of ``arch`` lies within its bounds."""
        return self.violation(arch) == 0.0

    def to_dict(self) -> dict:
        """The bounds as plain JSON values."""
        return {key: list(bound) for key, bound in self.bounds.items()}

    def __str__(self) -> str:
        if not self.bounds:
            return 'no budget'
        return ', '.join(f'{key} in {list(bound)}' for key, bound in self.bounds.items())


def leaves_out_nothing(bound: Sequence[float | None], least: float, most: float) -> bool:
    """Whether a bound, an open end of which is None, holds both ends of what there is."""
    low, high = bound
    return (low is None or low <= least) and (high is None or high >= most)


def _unit(key: str) -> str:
    return 'ms' if key.endswith('_ms') else 'M'


def _is_timed(model: CostModel) -> bool:
    """Whether an architecture's time is known."""
    if (ends := model.extremes()) is not None:
        return 'latency_ms' in ends[0]
    whole = model.space.decode([0] * len(model.space.sizes))
    return model.cost(whole).latency_ms is not None
