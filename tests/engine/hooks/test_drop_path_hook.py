"""How far drop path has grown before each step."""

from types import SimpleNamespace

import pytest
import torch

from cream_mm.engine.hooks import DropPathHook


def scales(hook, steps, first=0):
    backbone = torch.nn.Identity()
    backbone.drop_path_scale = 1.0
    runner = SimpleNamespace(model=SimpleNamespace(backbone=backbone), max_iters=12)
    hook.before_train(runner)
    found = []
    for runner.iter in range(first, first + steps):
        hook.before_train_iter(runner, runner.iter % 3)
        found.append(backbone.drop_path_scale)
    return found


def test_it_grows_along_the_whole_training():
    assert scales(DropPathHook(), 12) == [(i + 1) / 12 for i in range(12)]


def test_it_begins_anew_in_each_phase():
    phase = [(i + 1) / 6 for i in range(6)]
    assert scales(DropPathHook(phases=2), 12) == phase * 2
    assert scales(DropPathHook(phases=2), 4, first=8) == phase[2:]  # resumed


def test_wrong_uses():
    with pytest.raises(ValueError, match='phases of DropPathHook is at least 1; got 0'):
        DropPathHook(phases=0)
    runner = SimpleNamespace(model=SimpleNamespace(backbone=torch.nn.Identity()))
    with pytest.raises(ValueError, match='Identity has none: leave the hook out'):
        DropPathHook().before_train(runner)
    with pytest.raises(ValueError, match='12 steps are not 5 phases of as many each'):
        scales(DropPathHook(phases=5), 1)
