"""Tokens: the released alphabet, all choices of all spaces there and back, what may be written."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from cream_mm.methods.nao_v2 import Tokens
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space, build_space
from cream_mm.testing import ToySpace, tiny_space

GOLDEN = json.loads((Path(__file__).parents[2] / 'data/nao/tokens.json').read_text())


def test_released_tokens():
    tokens, space = Tokens(NAOSpace()), NAOSpace()
    assert (tokens.vocabulary, tokens.steps, tokens.width, tokens.length) == (12, 20, 2, 40)
    for row in GOLDEN['mapping']:
        arch = space.decode(row['arch'])
        assert tokens.encode(arch) == row['tokens']
        assert space.encode(tokens.decode(row['tokens'])) == row['back'] == row['arch']


def test_released_ways_of_writing():
    tokens, space = Tokens(NAOSpace()), NAOSpace()
    for row in GOLDEN['swap']:
        arch = tokens.decode(row['tokens'])
        other = space.exchange(arch, row['node_normal'], row['node_reduction'])
        assert tokens.encode(other) == row['swapped'] == tokens.encode(space.decode(row['arch']))
        assert [0, *tokens.encode(other)[:-1]] == row['decoder_input']


SPACES = {
    'identity': tiny_space(depths=(2, 3), choices=('identity', (3, 4), (5, 4), (5, 6))),
    'macro': build_space('nas_bench_macro'),
    'cream': MBConvSpace(),
    'toy': ToySpace('uneven', sizes=(3, 1, 2, 5), nodes=(2, 2)),
    'cells': NASBench201Space(),
    'nao': NAOSpace(),
}


@pytest.mark.parametrize('name', SPACES)
def test_there_and_back(name):
    space = SPACES[name]
    tokens, rng = Tokens(space), np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        arch = space.decode(rng.integers(space.sizes).tolist())
        written = tokens.encode(arch)
        assert len(written) == tokens.length == tokens.steps * tokens.width
        assert min(written) >= 1 and max(written) < tokens.vocabulary
        assert tokens.decode(written) == arch
        seen.add((arch, tuple(written)))
    assert len({arch for arch, _ in seen}) == len({written for _, written in seen})


@pytest.mark.parametrize('name', SPACES)
def test_the_automaton_writes_every_choice_and_nothing_else(name):
    space = SPACES[name]
    tokens = Tokens(space)
    group = space.positions_per_step
    for step, start in enumerate(tokens.starts):
        words = [((), start)]
        for _ in range(tokens.width):
            words = [
                ((*word, token), tokens.follows[state][token])
                for word, state in words
                for token in np.flatnonzero(tokens.follows[state] >= 0).tolist()
            ]
        sizes = space.sizes[step * group : (step + 1) * group]
        expected = set()
        for choices in itertools.product(*map(range, sizes)):
            flat = [0] * len(space.sizes)
            flat[step * group : (step + 1) * group] = choices
            whole = tokens.encode(space.decode(flat))
            expected.add(tuple(whole[step * tokens.width : (step + 1) * tokens.width]))
        assert len(words) == len(expected) and {word for word, _ in words} == expected


def test_an_identity_is_a_pair_of_its_own():
    """Kernels 0, 3, 5 are tokens 1 to 3, expansions 0, 4, 6 tokens 4 to 6."""
    tokens, space = Tokens(SPACES['identity']), SPACES['identity']
    assert tokens.vocabulary == 7
    assert tokens.encode(space.decode([0, 1, 2, 3, 0])) == [1, 4, 2, 5, 3, 5, 3, 6, 1, 4]
    first = tokens.starts[0]
    after = {token: tokens.follows[first][token] for token in (1, 2, 3)}
    allowed = {k: np.flatnonzero(tokens.follows[s] >= 0).tolist() for k, s in after.items()}
    assert allowed == {1: [4], 2: [5], 3: [5, 6]}  # and no kernel 3 with expansion 6


def test_edges_and_operations_of_a_cell():
    tokens, space = Tokens(NASBench201Space()), NASBench201Space()
    assert (tokens.vocabulary, tokens.steps, tokens.width) == (1 + 6 + 5, 6, 2)
    assert tokens.encode(space.decode([3, 0, 1, 4, 2, 0]))[::2] == [1, 2, 3, 4, 5, 6]
    assert tokens.encode(space.decode([3, 0, 1, 4, 2, 0]))[1::2] == [10, 7, 8, 11, 9, 7]


def test_refuses():
    tokens, space = Tokens(SPACES['identity']), SPACES['identity']
    with pytest.raises(ValueError, match='9 tokens; a sequence here has 10'):
        tokens.decode([1, 4, 1, 4, 1, 4, 1, 4, 1])
    with pytest.raises(ValueError, match=r'tokens \(2, 6\) of step 1 are no choice'):
        tokens.decode([1, 4, 2, 6, 1, 4, 1, 4, 1, 4])
    with pytest.raises(ValueError, match='has 4 choices; whole architectures .* have 5'):
        tokens.encode(space.parse([[0], [0, 1], [1, 1], [0]]))

    class Mixed(ToySpace):
        def factors(self, position):
            return [(choice,) * (1 + position % 2) for choice in range(self.sizes[position])]

    with pytest.raises(ValueError, match='made of 1 to 2 numbers'):
        Tokens(Mixed())
