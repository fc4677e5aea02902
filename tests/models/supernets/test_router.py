"""A table of banks, and what a router does by default."""

import pytest
import torch

from cream_mm.models.supernets import Router, TableRouter
from cream_mm.spaces import NASBench201Space

SPACE = NASBench201Space()
ARCH = SPACE.decode([3] * 6)


def test_a_table_is_the_same_for_every_architecture():
    router = TableRouter([0, 2, 1, 1, 0, 2])
    assert router.num_banks == router.num_active == 3 and router.num_positions == 6
    assert router.banks(ARCH) == router.banks(SPACE.decode([2] * 6)) == (0, 2, 1, 1, 0, 2)
    assert router.weights(ARCH) is None


def test_a_table_comes_with_the_weights():
    router, other = TableRouter([0, 2, 1, 1, 0, 2]), TableRouter([0] * 6, num_banks=3)
    state = {f'backbone.router.{k}': v for k, v in router.state_dict().items()}
    assert TableRouter.banks_from(state, ARCH, SPACE, 'backbone.router.') == router.banks(ARCH)
    other.load_state_dict(router.state_dict())
    assert other.banks(ARCH) == router.banks(ARCH)


@pytest.mark.parametrize('table, num_banks', [([], None), ([0, -1], None), ([0, 3], 3)])
def test_a_table_of_banks_that_are_not_there(table, num_banks):
    with pytest.raises(ValueError, match='a table of banks'):
        TableRouter(table, num_banks)


def test_a_router_that_cannot_grow():
    assert isinstance(TableRouter([0]), Router) and isinstance(TableRouter([0]), torch.nn.Module)
    with pytest.raises(ValueError, match='all 1 banks of TableRouter are in use'):
        TableRouter([0]).grow()
