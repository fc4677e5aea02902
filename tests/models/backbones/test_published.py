import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import golden_fill, golden_image, ramp

from cream_mm import create_model
from cream_mm.costs import build_cost_model
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.models.backbones.published import effective_arch, published_costs, published_nets
from cream_mm.spaces import MBConvSpace
from cream_mm.testing import tiny_space

# The released lists as they are printed; the networks differ from them in single-layer stages.
OFFICIAL = {
    'cream-14m': [[0], [3], [3, 3], [3, 3], [3], [3], [0]],
    'cream-43m': [[0], [3], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
    'cream-114m': [[0], [3], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
    'cream-287m': [[0], [3], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
}


CREAM = [name for name in published_nets if name.startswith('cream-')]


@pytest.mark.parametrize('name', CREAM)
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


# ---- DNA -----------------------------------------------------------------------------------------

GOLDEN = json.loads((Path(__file__).parents[2] / 'data' / 'dna_nets.json').read_text())


def official_name(name):
    """The released code has the last conv1x1 outside the blocks, and no head around the rest."""
    name = name.removeprefix('backbone.').removeprefix('head.')
    return name.replace('blocks.7.0.conv.', 'conv_head.').replace('blocks.7.0.bn1.', 'bn2.')


@pytest.fixture(scope='module', params='abcd')
def dna(request):
    torch.set_default_dtype(torch.float64)
    try:
        model = create_model(f'dna-{request.param}', out_indices=range(8))
        model.load_state_dict(golden_fill(model.state_dict(), official_name))
        yield GOLDEN[request.param], model
    finally:
        torch.set_default_dtype(torch.float32)


def test_names_and_shapes_of_dna(dna):
    golden, model = dna
    lines = [
        f'{official_name(name)} {"x".join(map(str, value.shape))}'
        for name, value in model.state_dict().items()
    ]
    assert hashlib.sha256('\n'.join(lines).encode()).hexdigest() == golden['keys_sha256']
    assert sum(p.numel() for p in model.parameters()) == golden['params']


def test_maps_and_logits_of_dna(dna):
    golden, model = dna
    image = golden_image(224)
    with torch.no_grad():
        maps = model.backbone(image)
        logits = model.head(maps)[0]
        sloped = model(ramp(image))[0]
    for got, expected in zip(maps[:7], golden['stages'], strict=True):
        assert list(got.shape) == expected['shape']
        numbers = [float(got.mean()), float(got.abs().mean()), float(got.std(correction=0))]
        numbers += got.flatten()[:3].tolist()
        wanted = [expected[key] for key in ('mean', 'abs_mean', 'std_pop')] + expected['first3']
        assert numbers == pytest.approx(wanted, rel=1e-8)
    for got, expected in ((logits, golden), (sloped, golden['ramp'])):
        first = expected['logits5']
        first = first[0] if isinstance(first[0], list) else first
        assert got[:5].tolist() == pytest.approx(first, rel=1e-8)
        assert float(got.mean()) == pytest.approx(expected['logits_mean'], rel=1e-8)
        assert float(got.std(correction=0)) == pytest.approx(expected['logits_std_pop'], rel=1e-8)
        assert [int(got.argmax())] == expected['argmax']


@pytest.mark.parametrize('name', GOLDEN)
def test_costs_of_dna(name):
    golden = GOLDEN[name]
    arch, space, about = resolve_arch(f'dna-{name}')
    cost = build_cost_model(space, about['input_size']).cost(arch)
    assert cost.params == golden['params'] and cost.macs == golden['macs_conv_linear_224']
    assert cost.published_flops == golden['flops_official_counter_224']


# ---- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', published_nets)
def test_a_name_brings_its_space(name):
    net = published_nets[name]
    arch, space, about = resolve_arch(name)
    assert (arch, space) == net.network()
    assert not isinstance(space, MBConvSpace) or space.depths == arch.depths
    assert about['name'] == name and about['input_size'] == [net.input_size] * 2
    assert ('official_arch' in about) == name.startswith('cream-')
    assert ('preprocess' in about) == name.startswith(('lite', 'naonet'))
    assert about.get('num_classes', 1000) == (10 if name == 'naonet-v2' else 1000)
    crops = {'lite1': 0.882, 'lite2': 0.89, 'naonet-v2': 1.0}
    assert about.get('crop_pct', 0.875) == crops.get(name, 0.875)
    other = resolve_arch(name, dict(stem_stride=1))[1]
    assert other.stem_stride == 1 and other.stage_channels == space.stage_channels


def test_what_published_networks_cost_elsewhere():
    """In the place of those of a search: at its size, with its head, counted as there."""
    costs = build_cost_model(MBConvSpace(), 224, 10)
    found = published_costs(costs)
    assert list(found) == list(published_nets)[1:-1]  # cream-14m is too small; NAO's has cells
    for name in ('cream-287m', 'dna-a', 'lite1'):
        arch, space, _ = resolve_arch(name)
        expected = build_cost_model(space, 224, 10).cost(arch)
        assert found[name][:3] == expected[:3]
        # dna-a by Cream's counter, beside the others
        assert (found[name] == expected) == (name != 'dna-a')
    alone = published_costs(build_cost_model(MBConvSpace(), 224, head=None))
    arch, space, _ = resolve_arch('lite0')
    assert alone['lite0'] == build_cost_model(space, 224, head=None).cost(arch)
    without = published_costs(build_cost_model(MBConvSpace(), 224, 10, 0))
    arch, space, _ = resolve_arch('lite0')
    assert without['lite0'].params == build_cost_model(space, 224, 10, 0).cost(arch).params
    assert published_costs(build_cost_model(tiny_space(), 8, 3)) == {}
