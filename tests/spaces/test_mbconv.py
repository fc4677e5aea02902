import itertools
import json

import numpy as np
import pytest

from cream_mm.spaces import MBConvSpace
from cream_mm.spaces.mbconv import make_divisible
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

CREAM_DEPTHS = (4, 4, 4, 4, 4)


def full(choice):
    return Arch(tuple((choice,) * depth for depth in CREAM_DEPTHS))


# --- numbers of the skeleton ---


@pytest.mark.parametrize(
    ('channels', 'reduced'),
    [(16, 8), (64, 16), (96, 24), (144, 40), (160, 40), (240, 64), (320, 80), (384, 96),
     (480, 120), (576, 144)],
)  # fmt: skip
def test_make_divisible_of_the_squeeze(channels, reduced):
    assert make_divisible(channels * 0.25) == reduced


@pytest.mark.parametrize(
    ('value', 'divisor', 'rounded'),
    [(0.1, 8, 8), (8.8, 8, 8), (8.9, 8, 16), (11.9, 8, 16), (12, 8, 16), (20, 8, 24),
     (19.9, 8, 24), (100, 8, 104), (18, 4, 20), (7, 1, 7)],
)  # fmt: skip
def test_make_divisible_rounds_at_most_a_tenth_down(value, divisor, rounded):
    assert make_divisible(value, divisor) == rounded


def test_make_divisible_laws():
    for value in np.arange(0.5, 700, 0.5):
        rounded = make_divisible(value)
        assert rounded % 8 == 0 and rounded >= 8
        assert rounded >= 0.9 * value
        assert rounded <= max(8, value + 8)


def test_layers_of_cream():
    expected = []
    for stage, (cin, cout, stride) in enumerate(
        [(16, 24, 2), (24, 40, 2), (40, 80, 2), (80, 96, 1), (96, 192, 2)], start=1
    ):
        expected.append((stage, 0, cin, cout, stride))
        expected += [(stage, layer, cout, cout, 1) for layer in (1, 2, 3)]
    space = MBConvSpace()
    assert [tuple(spec) for spec in space.layers()] == expected
    assert space.stage_channels == (16, 24, 40, 80, 96, 192, 320)
    assert (space.num_stages, space.num_layers) == (5, 20)
    assert space.choices == tuple((k, e) for k in (3, 5, 7) for e in (4, 6))


def test_layers_of_other_depths():
    specs = list(MBConvSpace().layers((1, 5, 1, 2, 1)))
    assert [(s.stage, s.layer) for s in specs] == [
        (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (3, 0), (4, 0), (4, 1), (5, 0),
    ]  # fmt: skip
    assert [(s.in_channels, s.out_channels, s.stride) for s in specs[4:8]] == [
        (40, 40, 1), (40, 40, 1), (40, 80, 2), (80, 96, 1),
    ]  # fmt: skip


def test_width_multiplier_rounds_every_width():
    assert MBConvSpace(width_mult=0.5).stage_channels == (8, 16, 24, 40, 48, 96, 160)
    assert MBConvSpace(width_mult=1.4).stage_channels == (24, 32, 56, 112, 136, 272, 448)


# --- construction ---


def test_is_hashable_and_survives_json():
    space = MBConvSpace(depths=[1, 2, 3, 2, 1], choices=[[3, 4], [5, 6]], width_mult=0.75)
    again = MBConvSpace.build(json.loads(json.dumps(space.to_dict())))
    assert again == space and hash(again) == hash(space)
    assert again != MBConvSpace()


def test_build_passes_a_space_through():
    space = tiny_space()
    assert MBConvSpace.build(space) is space
    assert MBConvSpace.build(None) == MBConvSpace.build({}) == MBConvSpace()


def test_build_refuses_unknown_keys():
    with pytest.raises(ValueError, match='depth') as error:
        MBConvSpace.build(dict(depth=(4,), kernel=3, width_mult=0.5))
    message = str(error.value)
    assert "['depth', 'kernel']" in message and "'depths'" in message and "'width_mult'" in message


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(depths=(4, 4)), '2, 5 and 5 entries'),
        (dict(depths=(4, 4, 0, 4, 4)), 'at least one layer'),
        (dict(strides=(2, 2, 3, 1, 2)), 'strides are 1 or 2'),
        (dict(stem_stride=4), 'stem_stride=4'),
        (dict(choices=((4, 4),)), 'kernels are odd'),
        (dict(choices=((3, 0),)), 'expansions >= 1'),
        (dict(width_mult=0), 'width_mult must be > 0'),
    ],
)
def test_impossible_skeletons_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MBConvSpace(**settings)


# --- architectures ---


def test_validate_returns_what_is_fine():
    space = MBConvSpace()
    for nested in (
        [[0], [0], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
        [[0], *[[5] * 4] * 5, [0]],
    ):
        arch = Arch.from_list(nested)
        assert space.validate(arch) is arch


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        (((0,) * 4,) * 4, 'has 4 searchable stages; .* has 5'),
        (((0,) * 4,) * 6, 'has 6 searchable stages'),
        (((0,), (0,), (0,) * 5, (0,), (0,)), 'stage 3 of .* has 5 layers, not 1 to 4 layers'),
        (((0,), (0,), (), (0,), (0,)), 'stage 3 of .* has 0 layers'),
        (((0,), (0,), (0,), (0, 6), (0,)), r'choice 6 in stage 4 .* 0\.\.5'),
        (((0,), (0, -1), (0,), (0,), (0,)), r'choice -1 in stage 2 .* simply left out of the list'),
    ],
)
def test_validate_says_what_is_wrong(stages, message):
    with pytest.raises(ValueError, match=message):
        MBConvSpace().validate(Arch(stages))


def test_validate_any_depth():
    space, deep = MBConvSpace(), Arch(((0,) * 5, (1,) * 9, (0,), (0,), (0,)))
    assert space.validate(deep, any_depth=True) is deep
    with pytest.raises(ValueError, match='stage 2 of .* at least 1 layer'):
        space.validate(Arch(((0,), (), (0,), (0,), (0,))), any_depth=True)


def test_validate_knows_its_own_architectures():
    with pytest.raises(ValueError, match="belongs to space 'tiny', not to 'cream'"):
        MBConvSpace().validate(Arch(full(0).stages, 'tiny'))


def test_encode_and_decode_are_inverse():
    space = tiny_space(depths=(2, 3))
    for flat in itertools.product((0, 1), repeat=5):
        arch = space.decode(flat)
        assert arch.depths == (2, 3) and arch.space == space.name
        assert space.encode(arch) == list(flat)
    assert space.decode([1, 0, 1], like=Arch(((0,), (0, 0)))) == Arch(((1,), (0, 1)))
    assert MBConvSpace().encode(Arch(((0,), (1, 2), (3,), (4, 5), (0,)))) == [0, 1, 2, 3, 4, 5, 0]


def test_sample_is_full_depth_and_seeded():
    space = MBConvSpace()
    archs = [space.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert archs == [space.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert len(set(archs)) == 60
    assert {arch.depths for arch in archs} == {CREAM_DEPTHS}
    table = np.array([space.encode(arch) for arch in archs])
    assert all(set(column) == set(range(6)) for column in table.T)  # each choice at each layer


def test_sample_follows_op_prob():
    rng = np.random.default_rng(0)
    assert MBConvSpace().sample(rng, [0, 0, 0, 1, 0, 0]) == full(3)
    drawn = {c for _ in range(30) for s in MBConvSpace().sample(rng, [0.5, 0, 0, 0, 0, 0.5]).stages
             for c in s}  # fmt: skip
    assert drawn == {0, 5}


@pytest.mark.parametrize('depths', [(2, 2, 2, 1, 1), (1, 1, 1, 1, 1)])
def test_mutate_reaches_exactly_the_neighbours(depths):
    space, rng = MBConvSpace(), np.random.default_rng(0)
    flat = [2, 0, 5, 3, 1, 4, 2, 0][: sum(depths)]
    like = Arch(tuple((0,) * depth for depth in depths))
    start = space.decode(flat, like)
    neighbours = {
        space.decode([*flat[:i], choice, *flat[i + 1 :]], like)
        for i in range(len(flat))
        for choice in range(6)
        if choice != flat[i]
    }
    assert {space.mutate(start, rng) for _ in range(1000)} == neighbours
    assert space.encode(start) == flat
