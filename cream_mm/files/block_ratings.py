"""``block_ratings.json``: how good every candidate of every block is, by itself."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spaces.blocks import BlockSpace
from ..structures import Arch
from .read import read_json, shorten
from .space_entry import MAX_CHANNELS, MAX_LAYERS, check_space

BLOCKS_FORMAT = 'cream_mm.block_ratings/1'
"""Value of the "format" key."""

Tables = dict[tuple[int, int], list[float]]
"""By (block, cell), from 0: of each candidate in order, lower is better."""


def block_ratings_content(
    space: BlockSpace, tables: Mapping[tuple[int, int], Sequence[float]], **about: Any
) -> dict:
    """What ``block_ratings.json`` holds; blocks are numbered from 1 there.

    Args:
        space (BlockSpace): The space.
        tables (Mapping): Ratings of the blocks that were rated.
        **about: Further entries, plain JSON values.
    """
    blocks: dict[int, list[dict]] = {}
    for (block, cell), ratings in sorted(tables.items()):
        layers, width = space.cells[block][cell]
        entry = dict(layers=layers, width=width, ratings=list(ratings))
        blocks.setdefault(block, []).append(entry)
    rows = [dict(block=block + 1, cells=cells) for block, cells in blocks.items()]
    return dict(format=BLOCKS_FORMAT, space=space.to_dict(), **about, blocks=rows)


def read_block_ratings(path: str | Path, space: BlockSpace) -> tuple[Tables, dict]:
    """Ratings of another run over the same space.

    Returns:
        tuple[Tables, dict]: The tables, and the other entries of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none, or of another space.
    """
    path, content = _read(path)
    if content.get('space') != space.to_dict():
        raise ValueError(f'{path} holds ratings of another space than {space.name!r} of this run')
    tables: Tables = {}
    try:
        for row in content['blocks']:
            block = row['block'] - 1
            expected = [list(cell) for cell in space.cells[block]]
            found = [[cell['layers'], cell['width']] for cell in row['cells']]
            if found != expected or block < 0:
                raise ValueError(f'cells {found} of block {row["block"]}')
            for cell, entry in enumerate(row['cells']):
                ratings = entry['ratings']
                number = len(space.skeleton.choices) ** entry['layers']
                numbers = all(type(x) in (int, float) and math.isfinite(x) for x in ratings)
                if len(ratings) != number or not numbers:
                    raise ValueError(f'ratings of cell {cell + 1} of block {row["block"]}')
                tables[block, cell] = [float(x) for x in ratings]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {shorten(str(error), 300)}') from None
    return tables, {k: v for k, v in content.items() if k not in ('format', 'space', 'blocks')}


def is_of_blocks(path: str | Path) -> bool:
    """Whether a file is one of ratings of blocks, whole or not."""
    if Path(path).suffix != '.json':
        return False
    content = read_json(path, max_bytes=2**28, max_values=20_000_000)
    return isinstance(content, dict) and content.get('format') == BLOCKS_FORMAT


def sum_of_ratings(space: BlockSpace, tables: Tables, arch: Arch) -> float:
    """What the blocks of a network are rated together; lower is better.

    Args:
        space (BlockSpace): The space.
        tables (Tables): Ratings of all its cells.
        arch (Arch): An answer, see :class:`BlockSpace`.

    Raises:
        ValueError: If a cell of it is not rated.
    """
    total = 0.0
    for block, cell in enumerate(space.cells_of(arch)):
        if (block, cell) not in tables:
            raise ValueError(f'block {block + 1} is not rated, cell {cell + 1} of it at least')
        choices = arch.stages[space.place(block, cell)]
        total += tables[block, cell][space.index_of(choices)]
    return total


def read_block_space(path: str | Path) -> BlockSpace:
    """The space that a file of ratings is of; the file is not trusted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none, or its space is not one that a search has.
    """
    path, content = _read(path)
    try:
        return block_space_of(content['space'])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is damaged: "space" is none of blocks: {shorten(str(error), 300)}'
        ) from None


def block_space_of(entries: Mapping) -> BlockSpace:
    """The space of blocks that entries of a file describe, if they are of sizes that it can have.

    Raises:
        AttributeError, IndexError, KeyError, TypeError, ValueError: If they are not.
    """
    entries = dict(entries)
    kind, cells = entries.pop('type', BlockSpace.__name__), entries.pop('cells')
    numbers = [number for block in cells for cell in block for number in cell]
    fits = all(type(x) is int and 1 <= x <= MAX_CHANNELS for x in numbers)
    fits = fits and sum(cell[0] for block in cells for cell in block) <= MAX_LAYERS
    if kind != BlockSpace.__name__ or not fits:
        raise ValueError(f'its cells are {shorten(str(cells))}')
    check_space(entries)
    return BlockSpace.build(dict(entries, cells=cells))


def _read(path: str | Path) -> tuple[Path, dict]:
    path = Path(path)
    if path.is_dir():
        path = path / 'block_ratings.json'
    if not path.is_file():
        raise FileNotFoundError(f'no {path}; a search by blocks writes it when they are rated')
    content = read_json(path)
    if not isinstance(content, dict) or content.get('format') != BLOCKS_FORMAT:
        raise ValueError(f'{path} holds no ratings of blocks: it needs "format": "{BLOCKS_FORMAT}"')
    return path, content
