"""The same numbers as PyTorch's, and what a run does with them."""

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from cream_mm.engine import TrainLossPlateauLR


def sgd(*lrs):
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in lrs or (0.05,)]
    return torch.optim.SGD(groups, lr=0.05)


def losses():
    """Falls, rests, rises, and jitters below the threshold."""
    rng = np.random.default_rng(0)
    parts = [
        0.99 ** np.arange(60),
        0.5 + 1e-6 * rng.normal(size=90),
        0.4 + 0.2 * rng.random(120),
        0.3 * (1 - 5e-5) ** np.arange(80),
    ]
    return np.concatenate(parts).tolist()


@pytest.mark.parametrize('settings', [{}, dict(patience=0, eps=1e-3), dict(patience=7, factor=0.1)])
def test_the_learning_rates_are_pytorchs(settings):
    ours, theirs = sgd(0.05, 0.2), sgd(0.05, 0.2)
    plateau = TrainLossPlateauLR(OptimWrapper(ours), min_value=1e-5, **settings)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, **{'factor': 0.5, 'patience': 30, 'min_lr': 1e-5, **settings}
    )
    changes = set()
    for loss in losses():
        plateau.step(dict(loss=loss))
        plateau.step()  # mmengine's hook, at the end of each epoch
        other.step(loss)
        rates = [group['lr'] for group in ours.param_groups]
        assert rates == [group['lr'] for group in theirs.param_groups]
        assert (plateau.best, plateau.num_bad_epochs) == (other.best, other.num_bad_epochs)
        changes.add(rates[0])
    assert len(changes) > 3


def test_goes_on_where_it_was():
    optimizer, values = sgd(), losses()
    plateau = TrainLossPlateauLR(optimizer)
    rates = []
    for i, loss in enumerate(values):
        if i == 133:
            saved = copy.deepcopy((plateau.state_dict(), optimizer.state_dict()))
        plateau.step(dict(loss=loss))
        plateau.step()
        rates.append(optimizer.param_groups[0]['lr'])
    again, optimizer = None, sgd()
    again = TrainLossPlateauLR(optimizer)
    again.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    assert again.last_loss == values[132]
    for loss, rate in zip(values[133:], rates[133:]):
        again.step(dict(loss=loss))
        again.step()
        assert optimizer.param_groups[0]['lr'] == rate
    assert all(isinstance(v, (int, float, str, list, bool)) for v in again.state_dict().values())


def test_an_infinite_loss_is_a_bad_one():
    plateau = TrainLossPlateauLR(sgd(), patience=1)
    for loss in (1.0, math.inf, math.inf):
        plateau.step(dict(loss=loss))
    assert plateau.optimizer.param_groups[0]['lr'] == 0.025 and plateau.best == 1.0


def test_an_epoch_without_a_loss_is_told():
    plateau = TrainLossPlateauLR(sgd())
    plateau.step(dict(loss=1.0))
    plateau.step()
    with pytest.raises(ValueError, match='TrainLossHook'):
        plateau.step()


def test_one_that_was_asked_to_count_iterations_counts_epochs():
    """What another max_epochs asks of every schedule."""
    cfg = dict(type='cream_mm.TrainLossPlateauLR', patience=4, convert_to_iter_based=True)
    args = dict(optimizer=sgd(), epoch_length=9)
    plateau = PARAM_SCHEDULERS.build(dict(cfg, end=50), default_args=args)
    assert (plateau.by_epoch, plateau.patience, plateau.end) == (True, 4, 50)
    with pytest.raises(ValueError, match='counts epochs'):
        PARAM_SCHEDULERS.build(
            dict(type='cream_mm.TrainLossPlateauLR', by_epoch=False), default_args=args
        )
    with pytest.raises(ValueError, match='patience'):
        TrainLossPlateauLR(sgd(), patience=-1)
