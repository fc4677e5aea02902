import pytest

from cream_mm.models.backbones.published import effective_arch, published_nets
from cream_mm.spaces import MBConvSpace

# The released lists as they are printed; the networks differ from them in single-layer stages.
OFFICIAL = {
    'cream-14m': [[0], [3], [3, 3], [3, 3], [3], [3], [0]],
    'cream-43m': [[0], [3], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
    'cream-114m': [[0], [3], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
    'cream-287m': [[0], [3], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
}


@pytest.mark.parametrize('name', published_nets)
def test_the_network_is_what_the_released_builder_makes_of_the_list(name):
    net = published_nets[name]
    assert net.official_arch == OFFICIAL.get(name, net.arch)
    assert effective_arch(net.official_arch) == net.arch
    assert effective_arch(net.arch) == net.arch


def test_single_layer_stages_keep_the_default_op():
    # k3 e4, k5 e4, k3 e6, k3 e6, k5 e6, whatever the list says
    for op in range(6):
        effective = effective_arch([[0], [op], [op], [op], [op], [op], [0]])
        choices = [MBConvSpace().choices[stage[0]] for stage in effective[1:-1]]
        assert choices == [(3, 4), (5, 4), (3, 6), (3, 6), (5, 6)]
    assert effective_arch([[0], [5, 5], [5], [4, 4, 4], [2, 1], [0], [0]]) == [
        [0], [5, 5], [2], [4, 4, 4], [2, 1], [3], [0],
    ]  # fmt: skip


def test_needs_five_stages():
    with pytest.raises(ValueError, match='5 searchable stages; got 2'):
        effective_arch([[0], [1], [1], [0]])
