"""Ratings of blocks as a file: read again, summed, and not trusted."""

import itertools
import json

import pytest

from cream_mm.files.block_ratings import (
    block_ratings_content,
    is_of_blocks,
    read_block_ratings,
    read_block_space,
    sum_of_ratings,
)
from cream_mm.spaces.blocks import BlockSpace

SPACE = BlockSpace.build(
    dict(choices=((3, 2), (5, 3), (7, 6)), strides=(2, 1), cells=[[(1, 8), (2, 16)], [(1, 24)]])
)
TABLES = {
    (0, 0): [0.5, 0.25, 0.75],
    (0, 1): [i / 16 for i in range(9)],
    (1, 0): [1.0, 2.0, 4.0],
}


@pytest.fixture
def file(tmp_path):
    content = block_ratings_content(SPACE, TABLES, metric='relative_l1', num_images=8)
    (tmp_path / 'block_ratings.json').write_text(json.dumps(content))
    return tmp_path / 'block_ratings.json'


def test_read_again(file):
    assert read_block_space(file) == read_block_space(file.parent) == SPACE
    tables, about = read_block_ratings(file, SPACE)
    assert tables == TABLES and about == dict(metric='relative_l1', num_images=8)
    assert is_of_blocks(file)


def test_the_sum_over_the_blocks():
    for cell, last in itertools.product((0, 1), range(3)):
        for i, choices in enumerate(SPACE.candidates(0, cell)):
            arch = SPACE.answer([cell, 0], [choices, [last]])
            assert sum_of_ratings(SPACE, TABLES, arch) == TABLES[0, cell][i] + TABLES[1, 0][last]
    with pytest.raises(ValueError, match='block 2 is not rated'):
        sum_of_ratings(SPACE, {k: v for k, v in TABLES.items() if k[0] == 0}, arch)


@pytest.mark.parametrize(
    'changes',
    [
        dict(space=None),
        dict(space='dna'),
        dict(space=dict(type='BlockSpace')),
        dict(cells=[[[10**6, 8]], [[1, 8]]]),  # a million layers
        dict(cells=[[[1, 10**9]], [[1, 8]]]),
        dict(cells=[[[1.5, 8]], [[1, 8]]]),
        dict(cells=[]),
        dict(cells='abc'),
        dict(type='os.system'),
        dict(choices=[['x', 3]]),
        dict(widths=[3, 4]),
        dict(what=3),
    ],
    ids=str,
)
def test_a_space_from_elsewhere_is_one_line(file, changes):
    content = json.loads(file.read_text())
    if 'space' in changes:
        content.update(changes)
    else:
        content['space'].update(changes)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='block_ratings.json is damaged: "space" is none') as error:
        read_block_space(file)
    assert '\n' not in str(error.value) and len(str(error.value)) < 600


def test_what_is_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='a search by blocks writes it'):
        read_block_space(tmp_path)
    for text in ('{}', '[]', '{"format": "cream_mm.arch/1"}'):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(ValueError, match='holds no ratings of blocks'):
            read_block_space(tmp_path / 'a.json')
        assert not is_of_blocks(tmp_path / 'a.json')
    assert not is_of_blocks(tmp_path / 'a.csv')
