"""Which batch is taken for which speeds, memories and sets."""

import pytest

from cream_mm.engine.batch_probe import Tried, choose_batch, costliest_path
from cream_mm.testing import tiny_cream

MB = 2**20


def machine(speed, model=100, image=1, memory=10**6):
    """Steps of a machine: images a second by size, megabytes of the model and of an image."""
    sizes = []

    def try_size(size):
        sizes.append(size)
        peak = model + image * size
        return Tried(size, speed(size), peak * MB) if peak <= memory else None

    return try_size, sizes


@pytest.mark.parametrize(
    'speed, number, is_gpu, expected, asked',
    [
        (lambda n: 100 * n / (n + 8), 10**5, False, 128, [8, 16, 32, 64, 128, 256]),
        (lambda n: 50.0, 10**5, False, 8, [8, 16]),  # alike from the start
        ({8: 40.0, 16: 60.0, 32: 58.0}.get, 10**5, False, 16, [8, 16, 32]),  # slower again
        (lambda n: float(n), 300, False, 32, [8, 16, 32]),  # 8 steps an epoch: 37 images
        (lambda n: float(n), 20, False, 8, [8]),  # fewer steps than that: the smallest
        (lambda n: float(n), 5, False, 5, [5]),  # never more than there are
        (lambda n: 50.0, 10**5, True, 512, [8, 16, 32, 64, 128, 256, 512]),
    ],
)
def test_sizes(speed, number, is_gpu, expected, asked):
    try_size, sizes = machine(speed)
    size, tried, _ = choose_batch(try_size, number, 10**12, is_gpu)
    assert sizes == asked == [t.batch_size for t in tried]
    assert size == expected


@pytest.mark.parametrize('is_gpu', [False, True])
def test_memory_is_kept(is_gpu):
    """A size that would not fit is not even tried: on a CPU the process would be killed."""
    try_size, sizes = machine(float, model=100, image=2, memory=10**6)
    size, tried, why = choose_batch(try_size, 10**5, 300 * MB, is_gpu)
    assert size == 64 and sizes == [8, 16, 32, 64] and 'memory' in why
    assert max(t.peak_bytes for t in tried) <= 300 * MB
    try_size, sizes = machine(float, model=100, image=2, memory=220)  # the driver says no
    assert choose_batch(try_size, 10**5, 10**12, is_gpu)[0] == 32 and sizes[-1] == 64
    with pytest.raises(ValueError, match='no memory for 8 images'):
        choose_batch(machine(float, memory=50)[0], 10**5, 10**12, is_gpu)


def test_the_costliest_path():
    backbone = tiny_cream().backbone
    costs, space = backbone.budget.cost_model, backbone.space
    most = costs.extremes()[1]['macs_m']  # of 16 networks, among 64 that are drawn
    assert costs.cost(costliest_path(backbone)).macs / 1e6 == pytest.approx(most)
    assert space.num_networks <= 64
