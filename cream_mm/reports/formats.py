"""Numbers and names as people read them."""

import math
import re
from collections.abc import Sequence
from typing import Any

DASH = '–'  # for what is not known
COST_NAMES = {
    'macs_m': ('MACs', 'M'), 'params_m': ('parameters', 'M'), 'latency_ms': ('latency', 'ms'),
}  # fmt: skip


def format_stages(arch: list[list[int]], words: Sequence[str] = ()) -> list[str]:
    """Write the choices of each part, in words where there are such: ``1 3``, or ``skip 3×3``."""
    return [' '.join(words[c] if c < len(words) else str(c) for c in stage) for stage in arch]


def format_arch(arch: list[list[int]], words: Sequence[str] = ()) -> str:
    """Write nested choices on one line: ``0 | 1 3 | 5 5 | 0``."""
    return ' | '.join(format_stages(arch, words))


def format_cost(value: float | None) -> str:
    """Write a cost, in millions or milliseconds, with about three or four digits."""
    if value is None:
        return DASH
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f'{value:.{digits}f}'


def format_pct(value: float | None) -> str:
    """Write a percentage with one decimal."""
    return DASH if value is None else f'{value:.1f} %'


def format_difference(value: float | None, other: float | None) -> str:
    """How far a value lies from another one, relative to that: ``+12.5 %``."""
    if value is None or not other:
        return DASH
    return f'{100 * (value - other) / abs(other):+.1f} %'.replace('-', '\u2212')


def format_plain(value: Any) -> str:
    """A value of a table cell, with a dash for a missing one."""
    return DASH if value is None or value == '' else str(value)


def format_size(size: list[int] | None) -> str:
    """[14, 14] -> 14×14; empty where unknown."""
    return '×'.join(map(str, size or []))


def format_range(limits: tuple[float | None, float | None]) -> str:
    """(5, 20) -> 5 to 20; an open end is None."""
    low, high = limits
    if low is None or high is None:
        return 'any' if low is high else f'up to {high:g}' if low is None else f'from {low:g}'
    return f'{low:g} to {high:g}'


def cost_name(key: str) -> str:
    """``macs_m`` -> MACs (M); a name that is not known stays as it is."""
    name, unit = COST_NAMES.get(key, (key, ''))
    return f'{name} ({unit})' if unit else name


def budget_verdict(cost: float, limits: tuple[float | None, float | None], unit: str = 'M') -> str:
    """Say whether a cost lies inside a range that may be open."""
    low, high = limits
    if low is None and high is None:
        return 'no budget was set'
    inside = (low is None or cost >= low) and (high is None or cost <= high)
    return f'{"inside" if inside else "outside"} the budget of {format_range(limits)} {unit}'


def unbroken(text: str) -> str:
    """Keep numbers with their units, and top-1 in one piece, at the end of a line."""
    return re.sub(r'(?<=\d) (?=[M%]|ms\b)', '\u00a0', text.replace('top-1', 'top\u20111'))


def wilson_interval(pct: float, num_images: int) -> tuple[float, float]:
    """95 % interval of a percentage measured on that many images; stays within 0 to 100."""
    p, z = pct / 100, 1.96
    scale = 1 + z**2 / num_images
    middle = (p + z**2 / (2 * num_images)) / scale
    half = z * math.sqrt(p * (1 - p) / num_images + (z / (2 * num_images)) ** 2) / scale
    return 100 * (middle - half), 100 * (middle + half)
