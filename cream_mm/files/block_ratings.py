"""``block_ratings.json``: how good every candidate of every block is, by itself."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..spaces.blocks import BlockSpace
from .read import read_json

BLOCKS_FORMAT = 'cream_mm.block_ratings/1'
"""Value of the "format" key."""

Tables = dict[tuple[int, int], list[float]]
"""By (block, cell), from 0: of each candidate in order, lower is better."""


def block_ratings_content(
    space: BlockSpace, tables: Mapping[tuple[int, int], Sequence[float]], **about
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
    path = Path(path)
    if path.is_dir():
        path = path / 'block_ratings.json'
    if not path.is_file():
        raise FileNotFoundError(f'no {path}; a search by blocks writes it when they are rated')
    content = read_json(path)
    if not isinstance(content, dict) or content.get('format') != BLOCKS_FORMAT:
        raise ValueError(f'{path} holds no ratings of blocks: it needs "format": "{BLOCKS_FORMAT}"')
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
        raise ValueError(f'{path} is damaged: {error}') from None
    return tables, {k: v for k, v in content.items() if k not in ('format', 'space', 'blocks')}
