"""The one reader of an architecture, and building a space from a config."""

import numpy as np
import pytest

from cream_mm.registry import TASK_UTILS
from cream_mm.spaces import MBConvSpace, Space, build_space
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace, tiny_space

TOY, TINY = ToySpace(), tiny_space()


def test_build_space():
    assert build_space() == build_space('cream') == build_space({}) == MBConvSpace()
    assert build_space(TOY) is TOY
    for name in ('MBConvSpace', 'cream_mm.MBConvSpace', MBConvSpace):
        cfg = dict(type=name, preset='dna', name='mine')
        assert build_space(cfg) == MBConvSpace.build(dict(preset='dna', name='mine'))
        assert MBConvSpace.build(cfg).name == 'mine' and cfg['type'] == name
    for name in ('ToySpace', 'cream_mm.ToySpace'):
        assert build_space(dict(type=name, sizes=[3, 2], nodes=[2])) == ToySpace(
            'toy', (3, 2), (2,)
        )


@pytest.mark.parametrize(
    'name', ['PathSampler', 'cream_mm.RandomSearch', 'NoSuchSpace', 'subprocess.Popen', dict]
)
def test_what_is_no_space_is_not_built(name):
    with pytest.raises(ValueError, match='is not a search space; there are .*MBConvSpace.*ToySp'):
        build_space(dict(type=name, args='true'))


def test_a_supernet_of_mbconv_takes_no_other_space():
    with pytest.raises(ValueError, match="takes a MBConvSpace; got a space of type 'cream_mm.Toy"):
        MBConvSpace.build(TOY.to_dict())


def test_the_contract_cannot_be_left_out():
    with pytest.raises(TypeError, match='decode.*to_dict'):
        Space()


@pytest.mark.parametrize(
    ('space', 'value', 'stages'),
    [
        (TOY, [[1], [2, 3]], ((1,), (2, 3))),
        (TOY, ((1,), [2, 3]), ((1,), (2, 3))),
        (TOY, [1, 2, 3], ((1,), (2, 3))),
        (TOY, ' [[1], [2,3]]', ((1,), (2, 3))),
        (TOY, '(1, 2, 3)', ((1,), (2, 3))),
        (TOY, '123', ((1,), (2, 3))),
        (TOY, '1 23', ((1,), (2, 3))),
        (TOY, Arch(((1,), (2, 3)), 'toy'), ((1,), (2, 3))),
        (TINY, [[0], [0, 1], [1, 1], [0]], ((0, 1), (1, 1))),
        (TINY, '0 111', ((0,), (1, 1, 1))),  # deeper than the supernet: a network all the same
    ],
)
def test_parse(space, value, stages):
    arch = space.parse(value)
    assert arch.stages == stages and arch.space == space.name
    assert arch.fixed_ends == space.fixed_ends or isinstance(value, Arch)


@pytest.mark.parametrize(
    ('space', 'value', 'message'),
    [
        (TOY, [[0], [1], [2, 3], [0]], r"not nested as in 'toy', for example \[\[0\],\[0,0\]\]"),
        (TOY, [[1], [3, 0]], r'choice 3 at position 1 of .* is not one of 0\.\.2'),
        (TOY, '024', 'choice 4 at position 2'),
        (TOY, [0, -1, 0], 'choice -1 at position 1'),
        (TOY, [0, 1], "2 choices; 'toy' has 3 layers"),
        (TOY, '01', "'01' has 2 digits; 'toy' has 3 layers"),
        (TOY, [0, True, 0], r'written \[\[part 1\]'),
        (TOY, [0, np.int64(1), 0], r'written \[\[part 1\]'),
        (TOY, [], r'written \[\[part 1\]'),
        (TOY, 3, r"not an architecture: 3; in 'toy' it is written \[\[0\],\[0,0\]\], .* '000'"),
        (TOY, None, 'not an architecture: None'),
        (TOY, 'x' * 200, "not an architecture: '" + 'x' * 79 + r'\.\.\.;'),
        (TOY, '1' * 10_001, 'a text of 10001 characters'),
        (TOY, '[' * 9_000, 'not an architecture'),
        (TOY, TINY.decode([0] * 4), "belongs to space 'cream', not to 'toy'"),
        (TINY, [[0, 1], [1, 1]], r'written \[\[0\], \[stage 1\]'),
        (TINY, '0 ', "'0 ' has 1 digits; 'cream' has 4 layers .*part the stages by spaces"),
    ],
)
def test_what_parse_refuses(space, value, message):
    with pytest.raises(ValueError, match=message):
        space.parse(value)


def test_format_is_short_and_read_again():
    assert TOY.format(TOY.decode([1, 2, 3])) == '123'
    assert TINY.format(Arch(((0,), (1, 1, 1)))) == '0 111'
    alone = tiny_space(depths=(3,), widths=(16,), strides=(2,))
    for stages in (((0, 1, 1),), ((0, 1),), ((1, 0, 0, 1),)):
        assert alone.parse(alone.format(Arch(stages))) == Arch(stages)
    many = ToySpace(sizes=(2, 12), nodes=(1, 1))
    assert many.format(many.decode([1, 11])) == '[[1],[11]]'


def test_a_position_with_one_choice_is_never_changed():
    space, rng = ToySpace(sizes=(1, 3, 1)), np.random.default_rng(0)
    arch = space.decode([0, 1, 0])
    assert {space.format(space.mutate(arch, rng)) for _ in range(50)} == {'000', '020'}
    lone = ToySpace(sizes=(1, 1, 1))
    assert lone.mutate(lone.sample(rng), rng) == lone.decode([0, 0, 0])


def test_op_prob_needs_equal_sizes():
    with pytest.raises(ValueError, match='op_prob needs equal sizes'):
        TOY.sample(np.random.default_rng(0), [0.5, 0.5])


def test_is_registered():
    assert TASK_UTILS.get('MBConvSpace') is MBConvSpace


def test_factors_and_names():
    space = build_space('nas_bench_macro')
    assert space.factors(3) == [(0, 0), (3, 3), (5, 6)]
    assert space.named_choices == {'identity': 0} and MBConvSpace().named_choices == {}
    assert TOY.factors(1) == [(0,), (1,), (2,)]
