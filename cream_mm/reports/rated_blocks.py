"""``block_ratings.json`` as a figure shows it: what each candidate of a block costs and gives."""

from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..costs.blocks import BlockCosts
from ..files import shorten
from ..files.block_ratings import read_block_ratings, read_block_space
from ..spaces.blocks import BlockSpace
from ..structures.dominance import undominated
from .metric import ERRORS, metric_name

MAX_CANDIDATES = 600  # drawn of each block
DIVERGED = 1e8  # a rating from here on is that of a candidate that gives no numbers


class RatedCell(NamedTuple):
    """The candidates of one cell, or those of them that are drawn."""

    layers: int
    width: int  # output channels
    costs: np.ndarray  # millions of multiply-adds
    ratings: np.ndarray


class RatedBlock(NamedTuple):
    """One block: its cells, the candidate that the answer has, and the best up to each cost."""

    number: int  # from 1
    cells: list[RatedCell]
    chosen: tuple[float, float] | None  # cost and rating; None where the answer has no such cell
    place: int | None  # of the chosen one by rating, from 1
    total: int  # candidates, drawn or not
    best: tuple[np.ndarray, np.ndarray]  # costs and ratings of those that no cheaper one beats


class Blocks:
    """All rated blocks of a search.

    A candidate costs what it would cost in the answer: its first layer takes the width of the
    answer's block before it.

    Args:
        path (Path): ``block_ratings.json``.
        answer (dict): See :func:`cream_mm.reports.run_files.read_answer`.
        notes (list[str]): What is left out is added.

    Attributes:
        num_blocks, num_candidates (int): Those that are rated.
        num_hidden (int): Candidates that are not drawn.
        metric, error (str): What they are rated by, and what that is of, if that is known.
        is_chosen (bool): Whether the answer is known to be one of their networks.
        num_images (int, optional): That each was rated on.
        panels (list[RatedBlock]): What is drawn.

    Raises:
        OSError, ValueError: If the file cannot be read, or holds what no search writes.
    """

    def __init__(self, path: Path, answer: dict, notes: list[str]):
        self.space: BlockSpace = read_block_space(path)
        tables, about = read_block_ratings(path, self.space)
        images = about.get('num_images')
        self.num_images = images if type(images) is int and images > 0 else None
        metric = about['metric'] if isinstance(about.get('metric'), str) else 'rating'
        self.metric, self.error = shorten(metric_name(metric), 60), ERRORS.get(metric)
        self.num_candidates = sum(map(len, tables.values()))
        rated = sorted({block for block, _ in tables})
        self.num_blocks = len(rated)
        cells = self._cells_of(answer)
        size = answer.get('input_size') or ()
        costs = BlockCosts(self.space, size if len(size) == 2 and min(size) else 224)
        self.panels: list[RatedBlock] = []
        self.num_hidden = num_diverged = 0
        for block in rated:
            before = None if cells is None or not block else self._width(block - 1, cells)
            whole = [
                self._cell(costs, block, cell, before, tables[block, cell])
                for cell in range(len(self.space.cells[block]))
                if (block, cell) in tables
            ]
            finite = [_picked(cell, cell.ratings < DIVERGED) for cell in whole]
            num_diverged += sum(map(_size, whole)) - sum(map(_size, finite))
            panel = self._panel(block, whole, finite, cells, answer)
            self.num_hidden += sum(map(_size, whole)) - sum(map(_size, panel.cells))
            self.panels.append(panel)
        self.is_chosen = any(panel.chosen for panel in self.panels)
        if self.num_hidden > num_diverged:
            notes.append(
                f'Blocks: of each, {MAX_CANDIDATES} candidates are drawn, evenly by rating, and '
                'the best up to each cost.'
            )
        if num_diverged:
            notes.append(f'Blocks: {num_diverged:,} candidates whose maps are no finite numbers.')

    def _cells_of(self, answer: dict) -> list[int] | None:
        """Which cell of each block, from 0, the answer has; None if it is of another space."""
        space = answer['space']
        pairs = list(zip(space.get('depths') or (), space.get('widths') or ()))
        blocks = [[tuple(cell) for cell in block] for block in self.space.cells]
        if len(pairs) != len(blocks) or any(p not in block for p, block in zip(pairs, blocks)):
            return None
        return [block.index(pair) for pair, block in zip(pairs, blocks)]

    def _width(self, block: int, cells: list[int]) -> int:
        return self.space.cells[block][cells[block]].width

    def _cell(
        self, costs: BlockCosts, block: int, cell: int, before: int | None, ratings: list[float]
    ) -> RatedCell:
        total = costs.candidate_costs(block, cell, 'macs_m', before)
        layers, width = self.space.cells[block][cell]
        width = self.space.skeleton.width(width)  # the channels that there are
        return RatedCell(layers, width, total, np.array(ratings))

    def _panel(
        self,
        block: int,
        whole: list[RatedCell],
        finite: list[RatedCell],
        cells: list[int] | None,
        answer: dict,
    ) -> RatedBlock:
        chosen = place = None
        index = None if cells is None else self._index(answer['arch'], block)
        if index is not None:
            cost, rating = (float(x[index]) for x in whole[cells[block]][2:])
            if rating < DIVERGED:
                chosen = cost, rating
                place = 1 + sum(int((cell.ratings < rating).sum()) for cell in whole)
        costs = np.concatenate([cell.costs for cell in finite])
        ratings = np.concatenate([cell.ratings for cell in finite])
        keep = _spread(costs, ratings)
        ends = list(accumulate(map(_size, finite), initial=0))
        drawn = [_picked(cell, keep[a:b]) for cell, a, b in zip(finite, ends, ends[1:])]
        best = undominated(costs, -ratings)
        total = sum(map(_size, whole))
        return RatedBlock(block + 1, drawn, chosen, place, total, (costs[best], ratings[best]))

    def _index(self, arch: list[list[int]], block: int) -> int | None:
        """Of the answer's candidate among those of its cell; None if it is none."""
        choices = arch[block + 1] if block + 1 < len(arch) else []
        if any(choice >= len(self.space.skeleton.choices) for choice in choices):
            return None
        return self.space.index_of(choices)

    @property
    def sizes(self) -> list[int]:
        """The numbers of layers that cells have, in order."""
        return sorted({cell.layers for panel in self.panels for cell in panel.cells})


def _size(cell: RatedCell) -> int:
    return len(cell.ratings)


def _picked(cell: RatedCell, keep: np.ndarray) -> RatedCell:
    return cell._replace(costs=cell.costs[keep], ratings=cell.ratings[keep])


def _spread(costs: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Which are drawn: all, or :data:`MAX_CANDIDATES` evenly by rating, and the unbeaten ones."""
    keep = np.ones(len(ratings), bool)
    if len(ratings) > MAX_CANDIDATES:
        keep[:] = False
        order = np.argsort(ratings, kind='stable')
        keep[order[np.linspace(0, len(order) - 1, MAX_CANDIDATES).astype(int)]] = True
        keep[undominated(costs, -ratings)] = True
    return keep
