import itertools
import json
from dataclasses import replace

import pytest

from cream_mm.spaces import ElasticSpace, MBConvSpace, build_space
from cream_mm.structures import Arch
from cream_mm.testing import tiny_elastic, tiny_space
from cream_mm.testing.contracts import SpaceContract

LITE0 = [[0], [2, 2], [5, 5], [2] * 3, [5] * 3, [5] * 4, [2], [0]]
SKIPS = tiny_space(depths=(3, 2), choices=((3, 4), 'identity', (5, 6)), name='skips')


class TestElasticSpaces(SpaceContract):
    @pytest.fixture(
        params=[
            tiny_elastic(),
            tiny_elastic(input_sizes=()),
            ElasticSpace('lite0', LITE0, input_sizes=(128, 112, 96)),
            ElasticSpace(SKIPS, [[0], [2, 1, 0], [1, 2], [0]], expansions=(6, 2.5, 1)),
            ElasticSpace(tiny_space(choices=((7, 6),)), '00 00', name='large kernels'),
        ],
        ids=['tiny', 'one size', 'lite0', 'identities', 'large kernels'],
    )
    def space(self, request):
        return request.param


def test_choices_are_the_smaller_ones_largest_first():
    space = ElasticSpace('lite0', LITE0, input_sizes=[128, 96])
    assert space.choices_at(0) == ((3, 6), (3, 4), (3, 3), (3, 2))
    own = space.choices_at(3)
    assert own == (*((k, e) for k in (5, 3) for e in (6, 4, 3, 2)), 'identity')
    assert space.sizes == (4, 5, 8, 9, 4, 5, 5, 8, 9, 9, 8, 9, 9, 9, 4, 2)
    assert space.factors(3)[4] == (3, 6) and space.factors(3)[-1] == (0, 0)
    assert space.factors(15) == [(128,), (96,)]
    # What the full network has is a choice, whatever is listed.
    odd = ElasticSpace(tiny_space(choices=((5, 5),)), '00 00', kernels=(3,), expansions=(6, 3))
    assert odd.choices_at(0) == ((5, 5), (5, 3), (3, 5), (3, 3))


def test_the_full_path_is_the_full_network():
    space = ElasticSpace('lite0', LITE0, input_sizes=(128, 96))
    network, plain = space.network(space.full_path)
    assert network == space.skeleton.parse(LITE0) and network.to_list() == LITE0
    lite0 = MBConvSpace.build('lite0')
    assert plain.choices[: len(lite0.choices)] == lite0.choices
    assert plain.choices[len(lite0.choices) :] == ((5, 2), (3, 2))
    assert replace(plain, choices=lite0.choices) == lite0 == space.skeleton
    assert space.input_size(space.full_path) == 128
    assert space.count_layers(space.full_path) == 16 - 1
    # Identities of the full network stay where they are.
    own = ElasticSpace(SKIPS, [[0], [2, 1, 0], [1, 2], [0]])
    assert own.sizes == (8, 1, 4, 1, 9) and own.network(own.full_path)[0] == own.full
    assert own.count_layers(own.full_path) == 3


def test_layers_that_are_left_out_are_no_layers_of_the_network():
    space = ElasticSpace('lite0', LITE0, input_sizes=(128, 96))
    flat = space.encode(space.full_path)
    flat[5], flat[8], flat[11], flat[12], flat[13], flat[15] = 4, 3, 8, 8, 8, 1
    path = space.decode(flat)
    network, plain = space.network(path)
    assert network.depths == plain.depths == (2, 2, 2, 3, 1, 1)
    layers = [plain.choices[c] for c in plain.encode(network)]
    assert layers[5:8] == [(3, 6), (5, 6), (5, 2)]
    assert plain.validate(network) is network and space.input_size(path) == 96
    assert space.count_layers(path) == 11
    # The same network out of other layers of the stage is another slice.
    flat[5], flat[6] = 0, 4
    other = space.decode(flat)
    assert space.network(other)[0] == network and space.canonical(other) != space.canonical(path)


def test_a_path_of_each_network_is_found():
    for space in (tiny_elastic(), ElasticSpace(SKIPS, [[0], [2, 1, 0], [1, 2], [0]])):
        for flat in itertools.islice(itertools.product(*map(range, space.sizes)), 0, None, 7):
            path = space.decode(flat)
            network, plain = space.network(path)
            size = space.input_size(path)
            found = space.path_of(network, plain, size)
            assert space.network(found) == (network, plain) and space.input_size(found) == size
    space = tiny_elastic()
    network, plain = space.network(space.full_path)
    assert space.path_of(network, plain) == space.full_path
    assert space.path_of(network, plain, 5) is None
    assert space.path_of(network, replace(plain, widths=(24, 24))) is None
    larger = replace(plain, choices=((7, 6), *plain.choices[1:]))
    assert space.path_of(plain.decode([0] * 4), larger) is None
    assert space.path_of(Arch(((0, 0, 0), (0, 0)), plain.name), plain) is None


def test_comes_from_a_config():
    space = ElasticSpace('lite0', LITE0, input_sizes=(128, 96))
    cfg = dict(
        type='ElasticSpace', skeleton=dict(preset='lite0'), full=LITE0, input_sizes=[128, 96]
    )
    assert build_space(cfg) == space
    assert json.loads(json.dumps(space.to_dict()))['full'] == LITE0
    # The depths are those of the full network.
    deep = ElasticSpace('lite0', [[0], [2], [5, 5, 5], [2], [5], [5], [2], [0]])
    assert deep.skeleton.depths == (1, 3, 1, 1, 1, 1) and len(deep.specs()) == 8
    assert build_space(deep.to_dict()) == deep
    assert space.at_size(1) == ElasticSpace('lite0', LITE0)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(full=[[0], [2, 2], [0]]), 'has 1 searchable stages'),
        (dict(full=[[0], [2, 2], [9, 5], [2], [5], [5], [2], [0]]), 'choice 9 in stage 2'),
        (dict(input_sizes=(96, 128)), 'input_sizes are listed once each, the largest first'),
        (dict(input_sizes=(128, 128)), 'listed once each'),
        (dict(input_sizes=(128, 96.5)), 'input_sizes are numbers'),
        (dict(expansions=(3, 0.5)), 'expansions are numbers >= 1'),
        (dict(kernels=(4, 3)), 'kernels are odd'),
        (dict(no_such=1), 'no_such'),
    ],
)
def test_what_is_wrong_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        ElasticSpace.build({**dict(skeleton='lite0', full=LITE0), **change})
