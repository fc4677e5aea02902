import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

NESTED = [[0], [0], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]]
TEXT = '[[0],[0],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]'


def test_nested_list_there_and_back():
    arch = Arch.from_list(NESTED)
    assert arch.stages == ((0,), (3, 3), (3, 1, 3), (3, 3, 3, 3), (3, 3, 3))
    assert arch.space == 'cream'
    assert arch.to_list() == NESTED
    assert arch.depths == (1, 2, 3, 4, 3)


def test_text_there_and_back():
    assert str(Arch.from_list(NESTED)) == TEXT
    assert MBConvSpace().parse(TEXT) == Arch.from_list(NESTED)
    space = tiny_space(name='other', choices=((3, 4), (5, 6), (7, 6), (7, 4)))
    assert space.parse(' [[0], [1, 2], (3,), [0]]') == Arch(((1, 2), (3,)), 'other')


def test_without_fixed_ends():
    arch = Arch.from_list([[1], [0, 3]], 'toy', fixed_ends=False)
    assert arch.stages == ((1,), (0, 3)) and not arch.fixed_ends
    assert arch.to_list() == [[1], [0, 3]] and str(arch) == '[[1],[0,3]]'
    assert arch == Arch(((1,), (0, 3)), 'toy') and hash(arch) == hash(Arch(((1,), (0, 3)), 'toy'))
    for twin in (copy.deepcopy(arch), pickle.loads(pickle.dumps(arch))):
        assert str(twin) == str(arch)
    with pytest.raises(ValueError, match=r'written \[\[part 1\].*; got \[\[0\], 3\]'):
        Arch.from_list([[0], 3], fixed_ends=False)


def test_to_list_gives_lists_of_its_own():
    arch = Arch.from_list(NESTED)
    arch.to_list()[2].append(5)
    assert arch.to_list() == NESTED


def test_is_a_value():
    arch = Arch([[np.int64(1), 2], np.array([3])])
    assert arch.stages == ((1, 2), (3,))
    assert all(type(choice) is int for stage in arch.stages for choice in stage)
    same, other = Arch(((1, 2), (3,))), Arch(((1, 2), (4,)))
    assert arch == same and hash(arch) == hash(same) and arch != other
    assert {arch: 'a', other: 'b'}[same] == 'a'
    assert arch != Arch(((1, 2), (3,)), 'another space')
    assert arch != Arch(((1,), (2, 3)))  # the same choices in other stages
    for twin in (copy.deepcopy(arch), pickle.loads(pickle.dumps(arch))):
        assert twin == arch and hash(twin) == hash(arch)


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Arch(((1,),)).stages = ((2,),)


@pytest.mark.parametrize(
    'nested',
    [
        None,
        3,
        [],
        [[0], [0]],
        [[3, 3], [3], [0]],
        [[0], [3, 3], [3]],
        [[0], 3, [0]],
        [[0], [3.0], [0]],
        [[0], [True], [0]],
        [[0], ['3'], [0]],
        '[[0],[3],[0]]',
    ],
    ids=str,
)
def test_other_things_are_refused(nested):
    with pytest.raises(ValueError, match='an architecture is written') as error:
        Arch.from_list(nested)
    assert repr(nested) in str(error.value)


@pytest.mark.parametrize('text', ['', 'cream-287m', '[[0],[1', '__import__("os")', '7.5'])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match='not an architecture.* is written') as error:
        MBConvSpace().parse(text)
    assert text in str(error.value).replace(' ', '')
