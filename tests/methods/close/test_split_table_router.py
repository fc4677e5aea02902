"""Routers of split tables: K travels with the weights, and growing says what inherits from what."""

import json
from pathlib import Path

import pytest
import torch

from cream_mm.methods.close import SplitTableRouter
from cream_mm.models.supernets import Router, TableRouter
from cream_mm.registry import MODELS

GOLDEN = json.loads((Path(__file__).parents[2] / 'data/close/split_tables.json').read_text())


@pytest.mark.parametrize('name, positions, rule', [
    ('resnet', 23, 'pre'), ('resnexta', 15, 'pre'), ('resnet_if_max', 23, 'max'),
])  # fmt: skip
def test_three_stages_of_the_released_spaces(name, positions, rule):
    """One layer of its own and the shared ones, the same table in all stages."""
    banks = GOLDEN[name][-1]['n_glow']
    router = SplitTableRouter([positions + 1] * 3, banks, rule=rule)
    assert router.num_banks == banks and router.num_active == 1
    assert len(router.all_banks) == 3 * (banks + 1)
    starts = [0, positions + 1, 2 * positions + 2]
    for step in GOLDEN[name]:
        grown = []
        while router.num_active < step['n_glow']:
            grown.append(router.grow())
        expected = [
            [(s + 1 + new, s + 1 + old) for s in starts] for old, new in step['wit_adds_from_to']
        ]
        assert grown == expected
        table = [[s] + [s + 1 + b for b in step['glow_of_position']] for s in starts]
        assert list(router.banks(None)) == sum(table, [])
    with pytest.raises(ValueError, match=f'all {banks} banks of SplitTableRouter are in use'):
        router.grow()


def test_stages_of_different_depths():
    """Each grows until its layers have banks of their own."""
    router = SplitTableRouter([4, 1, 2, 5])
    assert router.num_banks == 4
    found = [router.banks(None)]
    pairs = []
    for _ in range(3):
        pairs.append(router.grow())
        found.append(router.banks(None))
    assert found == [
        (0, 1, 1, 1, 4, 5, 6, 7, 8, 8, 8, 8),
        (0, 1, 2, 2, 4, 5, 6, 7, 8, 8, 9, 9),
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 9),
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 11),
    ]
    assert pairs == [[(2, 1), (9, 8)], [(3, 2), (10, 8)], [(11, 9)]]


def test_how_many_are_in_use_comes_with_the_weights():
    router, other = (SplitTableRouter([6, 4], rule='max') for _ in range(2))
    router.grow()
    router.grow()
    state = router.state_dict()
    assert set(state) == {'active', 'table'} and int(state['active']) == 3
    other.load_state_dict(state)
    assert other.num_active == 3 and other.banks(None) == router.banks(None)
    assert other.grow() == router.grow() and other.banks(None) == router.banks(None)
    named = {f'backbone.router.{key}': value for key, value in other.state_dict().items()}
    for kind in (SplitTableRouter, TableRouter):  # the table says it all
        assert kind.banks_from(named, None, None, 'backbone.router.') == router.banks(None)
    other.load_state_dict({}, strict=False)  # weights without a router
    assert other.banks(None) == router.banks(None)


def test_banks_that_are_there_from_the_start():
    router = SplitTableRouter([5], 3, active=2)
    assert router.num_active == 2 and router.banks(None) == (0, 1, 1, 2, 2)
    assert router.grow() == [(3, 1)]
    assert router.weights(None) is None and isinstance(router, Router)
    assert isinstance(MODELS.build(dict(type='cream_mm.SplitTableRouter', stages=[5])), Router)


@pytest.mark.parametrize('settings', [
    dict(rule='max'), dict(num_banks=2), dict(private=0), dict(stages=[4, 6]),
])  # fmt: skip
def test_a_table_of_other_settings_is_refused(settings):
    router = SplitTableRouter([6, 4])
    for _ in range(2):
        router.grow()
    other = SplitTableRouter(**{'stages': [6, 4], **settings})
    with pytest.raises(ValueError, match='3 banks in use.* no table of stages'):
        other.load_state_dict(router.state_dict())


@pytest.mark.parametrize('settings, message', [
    (dict(stages=[]), 'stages lists'),
    (dict(stages=[3, 0]), 'stages lists'),
    (dict(stages=[3], private=4), 'stages lists'),
    (dict(stages=[3], num_banks=3), 'num_banks of its router is 1 to 2'),
    (dict(stages=[3], num_banks=0), 'num_banks of its router is 1 to 2'),
    (dict(stages=[3], active=3), 'active=3'),
    (dict(stages=[3], rule='first'), "rule is one of .*'first'"),
])  # fmt: skip
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(ValueError, match=message):
        SplitTableRouter(**settings)


def test_it_runs_where_its_buffers_are():
    router = SplitTableRouter([4]).to(torch.float64)
    router.grow()
    assert router.table.dtype == router.active.dtype == torch.long
    assert router.table.tolist() == [0, 1, 2, 2] and int(router.active) == 2
