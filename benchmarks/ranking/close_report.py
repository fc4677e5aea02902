"""From the records of close.py to the tables and figures of docs/results/close.md."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

from cream_mm.spaces import NASBench201Space

COLUMN = 'cifar10-test'


@cache
def truth(table: Path, column: str = COLUMN) -> dict[str, float]:
    """Mean accuracy of each class of isomorphic cells, by its canonical cell."""
    space, found = NASBench201Space(), {}
    with open(table, newline='') as file:
        for row in csv.DictReader(file):
            arch = space.canonical(space.parse(row['arch']))
            found.setdefault(space.format(arch), []).append(float(row[column]))
    return {name: float(np.mean(values)) for name, values in found.items()}


@cache
def rated() -> list[str]:
    from close import rated_cells  # beside this file

    return rated_cells()


def tau(record: dict, point: dict, key: str, true: dict[str, float]) -> float:
    """Kendall's tau-b of a rating with the truth, over the rated cells; losses count downwards."""
    sign = -1.0 if key == 'loss' else 1.0
    scores = sign * np.array(point[key])
    return float(stats.kendalltau(scores, [true[cell] for cell in rated()]).statistic)
