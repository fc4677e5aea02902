"""Tables of the spaces without cells, against those of the released code."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from cream_mm.methods.close.split_table import SplitTable, split_layers

GOLDEN = json.loads((Path(__file__).parents[2] / 'data/close/split_tables.json').read_text())
SPACES = {'resnet': (23, 'pre'), 'resnexta': (15, 'pre'), 'resnet_if_max': (23, 'max'),
          'resnexta_if_max': (15, 'max')}  # fmt: skip


def check(table, expected):
    assert list(table.run_lengths) == expected['run_lengths']
    assert list(table.banks) == expected['glow_of_position']
    assert list(table.idle) == expected['empty_groups']


@pytest.mark.parametrize('name', SPACES)
def test_curricula_of_the_released_configs(name):
    positions, rule = SPACES[name]
    table = SplitTable.whole(positions)
    assert [step['epoch'] for step in GOLDEN[name]] == [1, 201, 401, 601, 801]
    for step in GOLDEN[name]:
        table, splits = table.grown(step['n_glow'], rule)
        check(table, step)
        assert [list(split) for split in splits] == step['wit_adds_from_to']
        assert table.num_banks == step['n_glow']


@pytest.mark.parametrize('expected', GOLDEN['generic'], ids=str)
def test_any_number_of_banks_at_once(expected):
    whole = SplitTable.whole(expected['positions'])
    table, splits = whole.grown(expected['n_glow'], expected['criteria'])
    check(table, expected)
    assert [list(split) for split in splits] == expected['wit_adds_from_to']


@pytest.mark.parametrize('expected', GOLDEN['quirk'], ids=str)
def test_the_released_code_beyond_its_configs(expected):
    limit = expected['num_curriculums_setting'] + 1
    whole = SplitTable.whole(expected['positions'])
    table, _ = whole.grown(expected['level_reached'], limit=limit)
    check(table, expected)
    assert {str(b): list(run) for b, run in enumerate(table.runs)} == expected['groups']


def test_with_as_many_curricula_as_banks_the_limit_means_nothing():
    for positions in range(1, 30):
        for banks in range(1, positions + 1):
            whole = SplitTable.whole(positions)
            assert whole.grown(banks) == whole.grown(banks, limit=banks + 1)


@pytest.mark.parametrize('rule', ['pre', 'max'])
@pytest.mark.parametrize('positions', [1, 2, 7, 24])
def test_every_split_moves_the_right_half_of_a_run_and_nothing_else(rule, positions):
    table = SplitTable.whole(positions)
    tables = [table]
    while table.to_split(rule) is not None:
        table, _ = table.split(rule)
        tables.append(table)
    assert sorted(table.banks) == list(range(positions))  # in the end a bank for each
    for before, after in pairwise(tables):
        moved = [p for p in range(positions) if before.banks[p] != after.banks[p]]
        (old,) = {before.banks[p] for p in moved}
        stayed = [p for p in range(positions) if after.banks[p] == old]
        assert {after.banks[p] for p in moved} == {after.num_banks - 1}
        assert stayed + moved == list(range(stayed[0], moved[-1] + 1))
        assert len(moved) - len(stayed) in (0, 1)


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match='each of the 3 positions has a bank of its own'):
        SplitTable.whole(3).grown(4)
    with pytest.raises(ValueError, match="rule is one of .*'mid'"):
        SplitTable.whole(3).split('mid')
    with pytest.raises(ValueError, match='at least one position; got 0'):
        SplitTable.whole(0)


def test_stages_side_by_side():
    assert split_layers([4, 1, 3], 9) == list(range(8))
    assert split_layers([4, 1, 3], 1) == [0, 1, 1, 1, 4, 5, 6, 6]
    assert split_layers([5], 4) == [0, 1, 3, 2, 4]  # banks are numbered as they begin
    assert split_layers([2, 3], 1, private=0) == [0, 0, 2, 2, 2]
    assert split_layers([24, 24], 17)[24:] == [24] + [25 + b for b in GOLDEN['resnet'][-1][
        'glow_of_position'
    ]]  # fmt: skip
