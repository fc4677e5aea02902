import itertools

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace, tiny_space

KEYS = ('macs_m', 'params_m', 'board_flops_m', 'published_flops_m')


@pytest.fixture(scope='module')
def model():
    return build_cost_model(tiny_space(), 8, num_classes=3, head_channels=16)


@pytest.fixture(scope='module')
def archs(model):
    """Every architecture of the space, shallower ones included."""
    return [
        model.space.decode(flat, like=Arch(tuple((0,) * depth for depth in depths)))
        for depths in itertools.product((1, 2), repeat=2)
        for flat in itertools.product((0, 1), repeat=sum(depths))
    ]


def test_there_are_36_architectures(archs):
    assert len(set(archs)) == 36


@pytest.mark.parametrize('key', KEYS)
def test_is_feasible_equals_brute_force(model, archs, key):
    values = sorted(model.cost(arch).in_units()[key] for arch in archs)
    full = [v for v in values if v >= model.extremes()[0][key]]
    for low, high in [
        (values[0], values[-1]), (full[2], full[-3]), (full[3], full[3]), (None, full[2]),
        (full[-2], None), (None, None), (0, full[1]),
    ]:  # fmt: skip
        budget = Budget(model, **{key: (low, high)})
        inside = set()
        for arch in archs:
            value = model.cost(arch).in_units()[key]
            if (low is None or low <= value) and (high is None or value <= high):
                inside.add(arch)
        assert {arch for arch in archs if budget.is_feasible(arch)} == inside
        assert inside


def test_two_bounds_must_both_hold(model, archs):
    costs = {arch: model.cost(arch).in_units() for arch in archs}
    macs = sorted(cost['macs_m'] for cost in costs.values())
    params = sorted(cost['params_m'] for cost in costs.values())
    high_macs, low_params = macs[24], params[14]
    budget = Budget(model, macs_m=(None, high_macs), params_m=[low_params, None])
    inside = {
        arch for arch, cost in costs.items()
        if cost['macs_m'] <= high_macs and cost['params_m'] >= low_params
    }  # fmt: skip
    assert 0 < len(inside) < 22
    assert {arch for arch in archs if budget.is_feasible(arch)} == inside


def test_violation_is_the_relative_distance(model, archs):
    smallest, largest = model.extremes()
    low = 0.5 * (smallest['macs_m'] + largest['macs_m'])
    high = 1.01 * low
    budget = Budget(model, macs_m=(low, high), params_m=(None, smallest['params_m']))
    for arch in archs:
        cost = model.cost(arch).in_units()
        expected = max(0, low - cost['macs_m']) / low + max(0, cost['macs_m'] - high) / high
        over = cost['params_m'] - smallest['params_m']
        expected += max(0, over) / smallest['params_m']
        assert budget.violation(arch) == pytest.approx(expected, rel=1e-12, abs=0)


def test_without_bounds_everything_is_feasible(model, archs):
    budget = Budget(model)
    assert all(budget.is_feasible(arch) for arch in archs)
    assert str(budget) == 'no budget' and budget.to_dict() == {}
    assert Budget(model, macs_m=None).bounds == {}


@pytest.mark.parametrize('bound', [(0, 1), (None, 1), (572, 900), (572, None), (400, 300)], ids=str)
def test_impossible_ranges_name_the_attainable_one(bound):
    model = build_cost_model(MBConvSpace(), (224, 192))
    smallest, largest = model.extremes()
    with pytest.raises(ValueError) as error:
        Budget(model, macs_m=bound)
    message = str(error.value)
    assert message.startswith(f'budget macs_m=({bound[0]}, {bound[1]}) cannot be met')
    assert f'between {smallest["macs_m"]:.3f} and {largest["macs_m"]:.3f}' in message
    assert 'at 224x192 pixels' in message


def test_ends_are_included():
    model = build_cost_model(MBConvSpace(), 224)
    all_0 = model.space.decode([0] * 20)
    all_5 = model.space.decode([5] * 20)
    lowest = Budget(model, board_flops_m=(None, 297.836608))
    assert lowest.is_feasible(all_0) and not lowest.is_feasible(all_5)
    highest = Budget(model, board_flops_m=(571.5148, None))
    assert highest.is_feasible(all_5) and not highest.is_feasible(all_0)


@pytest.mark.parametrize(
    ('bounds', 'message'),
    [
        (dict(flops_m=(0, 600)), "no 'flops_m'; it knows macs_m, params_m, board_flops_m"),
        (dict(macs_m=600), 'pair .low, high. in millions; got 600'),
        (dict(macs_m=(0, 1, 2)), r'pair .* got \(0, 1, 2\)'),
        (dict(macs_m='06'), "pair .* got '06'"),
    ],
)
def test_wrong_notation(model, bounds, message):
    with pytest.raises(ValueError, match=message):
        Budget(model, **bounds)


def test_as_data(model):
    budget = Budget(model, macs_m=(None, 10), params_m=(0.001, 10))
    assert budget.to_dict() == {'macs_m': [None, 10], 'params_m': [0.001, 10]}
    assert str(budget) == 'macs_m in [None, 10], params_m in [0.001, 10]'


# --- times, and costs that do not add up ---


def test_a_budget_of_time():
    times = dict(fixed_ms=1.0, choices_ms=[[[1, 5], [1, 2]], [[0.5, 3], [1, 1]]])
    model = build_cost_model(tiny_space(), 8, 3, 16, latency=times)
    budget = Budget(model, latency_ms=(4.5, 6))
    for flat in itertools.product((0, 1), repeat=4):
        arch = model.space.decode(flat)
        assert budget.is_feasible(arch) == (4.5 <= model.cost(arch).latency_ms <= 6)
    assert budget.violation(model.space.decode([1, 1, 1, 1])) == pytest.approx((12 - 6) / 6)
    with pytest.raises(ValueError, match=r'latency_ms=\(13, None\) .* between 4.500 and 12.000'):
        Budget(model, latency_ms=(13, None))
    with pytest.raises(ValueError, match=r'pair \(low, high\) in milliseconds; got 5'):
        Budget(model, latency_ms=5)
    with pytest.raises(ValueError, match='has no latency_ms: it is deeper than what was measured'):
        budget.violation(Arch(((0, 0, 0), (0,))))


def test_a_budget_of_time_needs_times(model):
    with pytest.raises(ValueError, match='measured times: .python tools.latency.py build CONFIG'):
        Budget(model, latency_ms=(None, 3))


def test_without_extremes_nothing_is_checked_ahead():
    space = ToySpace(cuts=True)
    model = build_cost_model(space, 1, 0)
    budget = Budget(model, params_m=(None, 0))
    assert budget.is_feasible(space.parse('020')) and not budget.is_feasible(space.parse('120'))
    assert budget.violation(space.parse('100')) == pytest.approx(101e-6)
    Budget(model, params_m=(5, 6))  # nobody knows that there is none
    with pytest.raises(ValueError, match='cannot be met: its lower end is above'):
        Budget(model, params_m=(2, 1))
    with pytest.raises(ValueError, match='needs measured times'):
        Budget(model, latency_ms=(None, 3))


def test_a_bound_that_leaves_out_nothing_is_told(model):
    flats = itertools.product((0, 1), repeat=4)
    macs = [model.cost(model.space.decode(flat)).in_units()['macs_m'] for flat in flats]
    least, most = min(macs), max(macs)
    assert Budget(model, macs_m=(least, most + 1)).unused() == [
        f'macs_m leaves out nothing: the networks lie between {least:.4g} and {most:.4g} M'
    ]
    assert Budget(model, macs_m=(0, most - 1e-6)).unused() == []
    assert Budget(model, macs_m=(least + 1e-6, None)).unused() == []
    assert Budget(model).unused() == []
