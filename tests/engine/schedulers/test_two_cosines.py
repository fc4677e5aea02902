import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from cream_mm.engine.schedulers.two_cosines import first_epochs

CFG = dict(
    type='cream_mm.TwoCosinesLR', T_max=16, full_share=0.625, second=0.8, warmup_epochs=0.5,
    warmup_lr=1e-5, eta_min=1e-6,
)  # fmt: skip
STEPS = 7  # of an epoch: no fraction of two


def make(**more):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=5e-4)
    return PARAM_SCHEDULERS.build(
        dict(CFG, convert_to_iter_based=True, **more),
        default_args=dict(optimizer=optimizer, epoch_length=STEPS, end=16),
    )


def rates(scheduler, number):
    found = []
    for _ in range(number):
        found.append(scheduler.optimizer.param_groups[0]['lr'])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_each_phase_has_its_warmup_and_its_cosine():
    """10 epochs to 5e-4 and 6 to 4e-4, by hand."""
    found = rates(make(), 16 * STEPS)
    for step, rate in enumerate(found):
        t = step / STEPS
        t, length, top = (t, 10, 5e-4) if step < 10 * STEPS else (t - 10, 6, 4e-4)
        if t < 0.5:
            want = 1e-5 + (top - 1e-5) * t / 0.5
        else:
            want = 1e-6 + (top - 1e-6) / 2 * (1 + math.cos(math.pi * t / length))
        assert rate == pytest.approx(want, abs=1e-12), step
    assert found[10 * STEPS] == pytest.approx(1e-5)


def test_a_resumed_run_goes_on_exactly():
    whole = rates(make(), 16 * STEPS)
    for at in (3, 10 * STEPS - 1, 10 * STEPS, 10 * STEPS + 2):
        part, rest = make(), make()
        rates(part, at)
        rest.load_state_dict(part.state_dict())
        group = part.optimizer.state_dict()
        rest.optimizer.load_state_dict(group)
        assert rates(rest, 16 * STEPS - at) == whole[at:]


def test_without_a_first_phase():
    scheduler = make(full_share=0)
    rate = rates(scheduler, 9 * STEPS)[8 * STEPS]
    assert rate == pytest.approx(1e-6 + (4e-4 - 1e-6) / 2)  # the middle of one cosine
    scheduler = make(full_share=1)
    there = rates(scheduler, 16 * STEPS + 1)
    middle = 1e-6 + (5e-4 - 1e-6) / 2  # at the first phase's rate
    assert there[8 * STEPS] == pytest.approx(middle)
    assert there[-1] == pytest.approx(1e-6, abs=2e-7)


def test_what_is_no_share():
    assert [first_epochs(n, 0.625) for n in (2, 3, 8, 12, 16)] == [1, 2, 5, 8, 10]
    for share in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match='full_share is a share of all epochs'):
            first_epochs(10, share)
    with pytest.raises(ValueError, match='cannot be two phases: take at least 2, or full_share=0'):
        first_epochs(1, 0.5)
    with pytest.raises(ValueError, match='second > 0'):
        make(second=0)
