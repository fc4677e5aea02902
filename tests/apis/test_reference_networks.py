"""References are as cheap as they should be, and as near to the bound as they can be."""

import itertools

import pytest

from cream_mm.apis.reference_networks import (
    OVER,
    SLACK,
    Slice,
    bound_of,
    full,
    lower_sizes,
    macs_m,
    narrower,
    random_paths,
    shallower,
)
from cream_mm.costs import build_cost_model
from cream_mm.models.backbones.published import published_nets
from cream_mm.spaces import ElasticSpace, make_divisible


@pytest.fixture(scope='module')
def lite0():
    arch, skeleton = published_nets['lite0'].network()
    space = ElasticSpace(skeleton, arch, input_sizes=(128, 112, 96))
    return space, build_cost_model(space, 128, 10)


def share_of(lite0, one):
    space, costs = lite0
    return macs_m(costs, one) / macs_m(costs, full(space))


def test_the_full_network_and_shares_of_it(lite0):
    space, costs = lite0
    arch, skeleton = published_nets['lite0'].network()
    own = build_cost_model(skeleton, 128, 10).cost(arch).in_units()['macs_m']
    assert macs_m(costs, full(space)) == own == pytest.approx(125.37, abs=0.01)  # the pilot's
    assert bound_of(space, costs, 0.5) == own / 2
    with pytest.raises(ValueError, match='between 0 and 1; got 1.5'):
        bound_of(space, costs, 1.5)


def test_a_backbone_alone_is_counted_without_a_head(lite0):
    """As a detector has it."""
    space = lite0[0].at_size()
    costs = build_cost_model(space, 288, head=None)
    assert macs_m(costs, full(space)) == costs.cost(space.full_path).in_units()['macs_m']
    assert macs_m(costs, full(space)) == pytest.approx(601.45, abs=0.01)
    for one in random_paths(space, costs, 0.7, 2):
        assert 0.7 - SLACK <= macs_m(costs, one) / macs_m(costs, full(space)) <= 0.7


def test_lower_sizes(lite0):
    space, costs = lite0
    arch, skeleton = published_nets['lite0'].network()
    for share, sides in ((0.5, [88, 80]), (0.7, [96, 88])):
        found = lower_sizes(space, costs, share)
        assert [one.space.input_size(one.arch) for one in found] == sides
        for one, side in zip(found, sides):
            assert one.space.input_sizes == (128, side)
            own = build_cost_model(skeleton, side, 10).cost(arch).in_units()['macs_m']
            assert macs_m(costs, one) == own <= bound_of(space, costs, share + OVER)
    larger = full(space).at(128, 104)
    assert share_of(lite0, larger) > 0.7 + OVER


@pytest.mark.parametrize('share', [0.5, 0.7])
def test_narrower_is_the_widest_that_fits(lite0, share):
    space, costs = lite0
    one = narrower(space, costs, share)
    network, its_space = one.space.network(one.arch)
    (most,) = one.space.expansions
    # The same by the channels of each layer, counted here.
    for step in (0.0, 0.01):
        total, size = 0, 64
        total += 27 * 32 * size**2 + (9 * 32 + 32 * 16) * size**2  # stem and first block
        for position, spec in enumerate(space.specs()):
            kernel = space.choices_at(position)[0][0]
            mid = make_divisible(spec.in_channels * (most + step))
            total += spec.in_channels * mid * size**2
            size = -(-size // spec.stride)
            total += (kernel**2 * mid + mid * spec.out_channels) * size**2
        total += 320 * 1280 * size**2 + 1280 * 10
        if step == 0:
            assert total / 1e6 == pytest.approx(macs_m(costs, one))
            assert total / 1e6 <= bound_of(space, costs, share)
        else:
            assert total / 1e6 > bound_of(space, costs, share)
    assert [space.choices_at(i)[0][0] for i in range(len(space.specs()))] == [
        its_space.choices[choice][0] for stage in network.stages for choice in stage
    ]


@pytest.mark.parametrize('share', [0.5, 0.7])
def test_shallower_is_the_most_even_of_those_that_fit(lite0, share):
    space, costs = lite0
    one = shallower(space, costs, share)
    assert share - SLACK <= share_of(lite0, one) <= share
    network, its_space = one.space.network(one.arch)
    assert all(its_space.choices[choice][1] == 6 for stage in network.stages for choice in stage)
    # Last layers are left out, first ones stay: the path is zeros, then identities in each stage.
    for choices in one.arch.stages:
        assert list(choices) == sorted(choices) and choices[0] == 0
    kept = [(depth - 1) / (whole - 1) for depth, whole in zip(network.depths, space.full.depths)
            if whole > 1]  # fmt: skip

    def spread(shares):
        mean = sum(shares) / len(shares)
        return sum((share - mean) ** 2 for share in shares)

    arch, skeleton = published_nets['lite0'].network()
    for depths in itertools.product(*(range(1, whole + 1) for whole in space.full.depths)):
        other = type(arch)(tuple(s[:d] for s, d in zip(arch.stages, depths)), arch.space)
        own = skeleton.of_network(other)
        cost = build_cost_model(own, 128, 10).cost(other).in_units()['macs_m']
        if share - SLACK <= cost / macs_m(costs, full(space)) <= share:
            shares = [(d - 1) / (w - 1) for d, w in zip(depths, space.full.depths) if w > 1]
            assert spread(shares) >= spread(kept) - 1e-9


def test_random_paths_differ_and_cost_the_same(lite0):
    space, costs = lite0
    ones = random_paths(space, costs, 0.5, 4)
    assert len({one.arch for one in ones}) == 4 and ones == random_paths(space, costs, 0.5, 4)
    assert ones != random_paths(space, costs, 0.5, 4, seed=1)
    for one in ones:
        assert 0.5 - SLACK <= share_of(lite0, one) <= 0.5
        assert one.space == space


def test_what_cannot_be_reached_is_said(lite0):
    space, costs = lite0
    for make, words in ((narrower, 'no expansion makes'), (shallower, 'costs more than 0.01')):
        with pytest.raises(ValueError, match=words):
            make(space, costs, 0.01)


def test_a_slice_on_another_side(lite0):
    space, _ = lite0
    one = Slice(space, space.decode([1] * (len(space.sizes) - 1) + [2]))
    other = one.at(128, 80)
    assert other.space.network(other.arch)[0] == space.network(one.arch)[0]
    assert other.space.input_size(other.arch) == 80
    assert other.at(128, 128).space.input_sizes == ()
