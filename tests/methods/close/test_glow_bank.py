"""How a bank inherits."""

import copy

import pytest
import torch
from torch import nn

from cream_mm.methods.close import inherit


def bank(seed):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    made(torch.randn(4, 2, 5, 5))
    return made


def test_adds_parameters_and_buffers_in_place():
    new, old = bank(0), bank(1)
    old(torch.randn(4, 2, 5, 5))  # another batch counted
    before, objects = copy.deepcopy(new.state_dict()), [*new.parameters(), *new.buffers()]
    theirs = copy.deepcopy(old.state_dict())
    inherit(new, old)
    for key, value in new.state_dict().items():
        assert torch.equal(value, before[key] + theirs[key]), key
        assert torch.equal(old.state_dict()[key], theirs[key])
    assert new[1].num_batches_tracked == 3
    assert all(a is b for a, b in zip(objects, [*new.parameters(), *new.buffers()]))
    assert all(p.requires_grad and p.grad is None for p in new.parameters())


def test_norms_can_be_copied():
    new, old = bank(0), bank(1)
    before, theirs = copy.deepcopy(new.state_dict()), old.state_dict()
    objects = [*new.parameters(), *new.buffers()]
    inherit(new, old, norms='copy')
    for key, value in new.state_dict().items():
        expected = theirs[key] if key.startswith('1.') else before[key] + theirs[key]
        assert torch.equal(value, expected), key
    assert all(a is b for a, b in zip(objects, [*new.parameters(), *new.buffers()]))


def test_banks_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match='cannot inherit'):
        inherit(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    with pytest.raises(ValueError, match='cannot inherit'):
        inherit(nn.Linear(2, 2), nn.Linear(2, 3))
