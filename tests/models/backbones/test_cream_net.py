import copy
import hashlib
import json

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cream_mm.files.arch_file import ARCH_FORMAT
from cream_mm.models import CreamClsHead, CreamNet
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.models.backbones.published import published_nets
from cream_mm.registry import MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

TINY = [[0], [1, 0], [0, 1], [0]]


def tiny_net(**kwargs):
    torch.manual_seed(0)
    kwargs.setdefault('out_indices', (3,))
    net = CreamNet(TINY, space=tiny_space().to_dict(), **kwargs)
    net.init_weights()
    return net


# --- golden numbers ---


@pytest.mark.parametrize('number', ['14', '114', '287', '481'])
def test_released_networks(number, golden, golden_net):
    expected = golden[number]
    net = golden_net(
        CreamNet(f'cream-{number}m', out_indices=range(7)), CreamClsHead(num_classes=1000)
    )
    assert sum(p.numel() for p in net.parameters()) == expected['params']
    keys = [
        f'{key.split(".", 1)[1]} {"x".join(map(str, value.shape))}'
        for key, value in net.state_dict().items()
    ]
    assert len(keys) == expected['n_keys']
    assert hashlib.sha256('\n'.join(keys).encode()).hexdigest() == expected['keys_sha256']
    with torch.no_grad():
        feats = net.backbone(net_image := golden_net.image(expected['res']))
        logits = net.head(feats)[0]
    assert net_image.dtype == logits.dtype == torch.float64
    assert logits[:5].tolist() == pytest.approx(expected['logits5'], abs=1e-9, rel=0)
    assert logits.mean().item() == pytest.approx(expected['logits_mean'], abs=1e-9, rel=0)
    std = logits.std(correction=0).item()
    assert std == pytest.approx(expected['logits_std'], abs=1e-9, rel=0)
    assert int(logits.argmax()) == expected['argmax']
    assert len(feats) == len(expected['stages']) == 7
    for feat, stage in zip(feats, expected['stages'], strict=True):
        assert list(feat.shape) == stage['shape']
        assert feat.mean().item() == pytest.approx(stage['mean'], abs=1e-9, rel=0)
        assert feat.std(correction=0).item() == pytest.approx(stage['std'], abs=1e-9, rel=0)


def test_official_lists_are_kept_apart(golden):
    """The released code ignores the choice of a stage with a single layer."""
    defaults = (0, 2, 1, 1, 3)
    for number in ('14', '114', '287', '481'):
        official = Arch.from_list(golden[number]['arch'])
        effective = [
            stage if len(stage) > 1 else (default,)
            for stage, default in zip(official.stages, defaults, strict=True)
        ]
        assert resolve_arch(f'cream-{number}m')[0].stages == tuple(effective)


@pytest.mark.parametrize(
    ('name', 'params'),
    [('cream-14m', 981_216), ('cream-43m', 2_706_720), ('cream-114m', 2_718_240),
     ('cream-287m', 4_352_488), ('cream-481m', 6_021_480), ('cream-604m', 8_003_744)],
)  # fmt: skip
def test_parameters_of_the_backbone_alone(name, params):
    with torch.device('meta'):
        net = CreamNet(name)
    assert sum(p.numel() for p in net.parameters()) == params
    norms = {'cream-14m': 25, 'cream-43m': 34, 'cream-114m': 34, 'cream-287m': 43,
             'cream-481m': 67, 'cream-604m': 85}  # fmt: skip
    assert sum(isinstance(m, _BatchNorm) for m in net.modules()) == norms[name]


# --- feature maps ---


def test_shapes_for_a_detector():
    with torch.device('meta'):
        net = CreamNet('cream-287m', out_indices=range(7))
        maps = net(torch.empty(1, 3, 800, 1344))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 400, 672), (24, 200, 336), (40, 100, 168), (80, 50, 84), (96, 50, 84),
        (192, 25, 42), (320, 25, 42),
    ]  # fmt: skip


def test_out_indices_pick_maps_in_order():
    net = tiny_net(out_indices=(0, 1, 2, 3)).eval()
    image = torch.rand(2, 3, 9, 12)
    maps = net(image)
    assert net.out_channels == (8, 16, 24, 32) == tuple(m.shape[1] for m in maps)
    some = CreamNet(TINY, space=tiny_space().to_dict(), out_indices=[3, 1]).eval()
    some.load_state_dict(net.state_dict())
    assert some.out_channels == (16, 32)
    for got, expected in zip(some(image), (maps[1], maps[3]), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize('out_indices', [(), (-1,), (1, 7)], ids=str)
def test_wrong_out_indices(out_indices):
    with pytest.raises(ValueError, match=r'out_indices must lie in 0\.\.6'):
        CreamNet('cream-14m', out_indices=out_indices)


def test_width_multiplier_and_registry():
    net = MODELS.build(
        dict(type='cream_mm.CreamNet', arch='cream-14m', space=dict(width_mult=0.5),
             out_indices=(1, 6))
    )  # fmt: skip
    assert net.out_channels == (16, 160)
    assert [m.shape[1] for m in net(torch.rand(2, 3, 32, 32))] == [16, 160]


# --- training details ---


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 3, 4])
def test_frozen_stages(frozen_stages):
    net = tiny_net(frozen_stages=frozen_stages)

    def is_frozen(name):
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) < frozen_stages
        return frozen_stages >= 0

    for module in (net, net.train()):
        for name, param in module.named_parameters():
            assert param.requires_grad is not is_frozen(name), name
    before = {name: value.clone() for name, value in net.state_dict().items()}
    out = net(torch.rand(4, 3, 8, 8))[0]
    if frozen_stages < 4:
        out.square().sum().backward()
    for name, value in net.state_dict().items():
        if 'running' in name:
            assert torch.equal(value, before[name]) is is_frozen(name), name
    for name, param in net.named_parameters():
        assert (param.grad is None) is is_frozen(name), name


def test_frozen_from_the_start():
    """An optimizer or DDP that is made before the first train() must see it."""
    net = CreamNet(TINY, space=tiny_space().to_dict(), out_indices=(3,), frozen_stages=2)
    assert not any(p.requires_grad for p in net.blocks[1].parameters())
    assert all(p.requires_grad for p in net.blocks[2].parameters())


@pytest.mark.parametrize('frozen_stages', [-2, 8])
def test_wrong_frozen_stages(frozen_stages):
    with pytest.raises(ValueError, match=f'frozen_stages must be -1 to 7; got {frozen_stages}'):
        CreamNet('cream-14m', frozen_stages=frozen_stages)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_norm_eval(norm_eval):
    net = tiny_net(norm_eval=norm_eval).train()
    assert net.training
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert [m.training for m in norms] == [not norm_eval] * len(norms)
    net(torch.rand(4, 3, 8, 8))
    assert {int(m.num_batches_tracked) for m in norms} == {0 if norm_eval else 1}
    assert not any(m.training for m in net.eval().modules())


def test_recomputing_changes_nothing():
    image = torch.rand(4, 3, 8, 8)
    results = []
    for with_cp in (False, True):
        net = tiny_net(with_cp=with_cp, out_indices=(1, 3)).train()
        outs = net(image)
        (outs[0].square().mean() + outs[1].pow(3).mean()).backward()
        results.append((outs, {name: p.grad for name, p in net.named_parameters()}))
    (plain, plain_grads), (again, again_grads) = results
    for a, b in zip(plain, again, strict=True):
        assert torch.equal(a, b)
    assert plain_grads.keys() == again_grads.keys()
    for name, grad in plain_grads.items():
        assert grad.abs().sum() > 0, name
        torch.testing.assert_close(again_grads[name], grad, rtol=0, atol=0)


def test_recomputing_does_recompute():
    net = tiny_net(with_cp=True).train()
    calls = []
    net.blocks[1][0].conv_pw.register_forward_hook(lambda *_: calls.append(1))
    net(torch.rand(2, 3, 8, 8))[0].sum().backward()
    assert len(calls) == 2


def test_initialisation():
    torch.manual_seed(0)
    net = CreamNet('cream-14m')
    net.init_weights()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] ** 2 * module.out_channels / module.groups
            if module.weight.numel() > 5000:
                assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, _BatchNorm):
            assert (module.weight == 1).all() and not module.bias.any()


def test_pretrained_init_cfg(tmp_path):
    source = tiny_net()
    state = {f'backbone.{name}': value for name, value in source.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone.')
    torch.manual_seed(9)
    net = CreamNet(TINY, space=tiny_space().to_dict(), out_indices=(3,), init_cfg=init_cfg)
    net.init_weights()
    for name, value in net.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


# --- naming an architecture ---


def write_arch(path, **changes):
    content = dict(
        format=ARCH_FORMAT, arch=TINY, space=tiny_space().to_dict(), num_classes=10,
        input_size=[28, 28],
    )  # fmt: skip
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_every_way_of_naming_one(tmp_path):
    nested = published_nets['cream-287m'].arch
    by_name = resolve_arch('cream-287m')
    assert by_name[0] == Arch.from_list(nested)
    assert by_name[1].depths == (1, 2, 3, 4, 3)
    assert by_name[2]['input_size'] == [224, 224]
    for spelling in (nested, tuple(nested), str(nested), f' {nested}', Arch.from_list(nested)):
        assert resolve_arch(spelling)[:2] == by_name[:2]
    arch, space, about = resolve_arch(write_arch(tmp_path / 'arch.json'))
    assert arch == Arch(((1, 0), (0, 1))) and space == tiny_space()
    assert (about['num_classes'], about['input_size']) == (10, [28, 28])
    assert resolve_arch(str(tmp_path / 'arch.json'))[0] == arch


def test_given_space_wins_over_the_file(tmp_path):
    path = write_arch(tmp_path / 'arch.json')
    space = resolve_arch(path, dict(width_mult=2.0))[1]
    assert space.stage_channels == (16, 32, 48, 64) and space.choices == tiny_space().choices


def test_space_of_another_name(tmp_path):
    space = tiny_space(name='mine').to_dict()
    arch, built, _ = resolve_arch(write_arch(tmp_path / 'arch.json', space=space))
    assert arch.space == built.name == 'mine'


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="unknown architecture 'cream-288m'") as error:
        CreamNet('cream-288m')
    assert all(name in str(error.value) for name in published_nets)
    assert '.json' in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match='no architecture file .*best_arch.json'):
        CreamNet(str(tmp_path / 'best_arch.json'))


@pytest.mark.parametrize(
    'text',
    [
        '',
        '{"format": ',
        '[1, 2]',
        '"cream"',
        '{"arch": [[0],[0]]}',
        json.dumps(dict(format='cream_mm.board/1', arch=TINY, space={})),
        json.dumps(dict(format=ARCH_FORMAT, arch='cream-287m', space={})),
        json.dumps(dict(format=ARCH_FORMAT, arch=TINY)),
        json.dumps(dict(format=ARCH_FORMAT, arch=TINY, space=[])),
    ],
)
def test_foreign_json(tmp_path, text):
    path = tmp_path / 'other.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='is not an exported architecture') as error:
        CreamNet(str(path))
    assert str(path) in str(error.value) and ARCH_FORMAT in str(error.value)


def test_a_binary_file_called_json(tmp_path):
    path = tmp_path / 'weights.json'
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match='is not an exported architecture'):
        resolve_arch(path)


def test_a_wrong_choice_is_explained():
    with pytest.raises(ValueError, match='choice 6 in stage 2'):
        CreamNet([[0], [0], [3, 6], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]])


def test_deep_copy_is_independent():
    net = tiny_net().eval()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.conv_stem.weight.zero_()
    image = torch.rand(1, 3, 8, 8)
    assert not torch.equal(net(image)[0], twin(image)[0])


# --- stochastic depth ---

# D10 of the golden numbers: 0.2 * k / n, from the fixed first block on.
DROP_RATES = {name: [0.2 * k / n for k in range(n)] for name, n in
              {'dna-a': 22, 'dna-b': 21, 'dna-c': 20, 'dna-d': 22}.items()}  # fmt: skip


@pytest.mark.parametrize('name', DROP_RATES)
def test_drop_path_rates_are_those_of_the_released_networks(name):
    with torch.device('meta'):
        net, plain = CreamNet(name, drop_path_rate=0.2), CreamNet(name)
    blocks = [block for stage in net.blocks[:-1] for block in stage]
    assert len(blocks) == len(DROP_RATES[name])
    for block, rate in zip(blocks, DROP_RATES[name]):
        dropped = block.drop_path.drop_prob if block.drop_path is not None else 0.0
        assert dropped == pytest.approx(rate if block.has_shortcut else 0.0, abs=1e-15)
    assert sum(block.drop_path is not None for block in blocks) == len(blocks) - 8 + 1
    assert list(net.state_dict()) == list(plain.state_dict())


def test_drop_path_leaves_an_image_to_its_shortcut():
    torch.manual_seed(0)
    net = CreamNet([[0], [0, 0, 0], [0], [0]], space=tiny_space().to_dict(), drop_path_rate=0.8)
    assert [getattr(b.drop_path, 'drop_prob', 0.0) for b in net.blocks[1]] == [
        0.0, pytest.approx(0.8 * 2 / 5), pytest.approx(0.8 * 3 / 5),
    ]  # fmt: skip
    block = net.blocks[1][2]
    kept = 1 - block.drop_path.drop_prob
    x = torch.randn(400, 16, 4, 4)
    with torch.no_grad():
        out = block(x) - x
        block.drop_path.train(False)
        whole = block(x) - x
    passed = out.flatten(1).abs().amax(1) < 1e-5
    torch.testing.assert_close(out[~passed], whole[~passed] / kept, rtol=1e-4, atol=1e-5)
    assert abs(passed.float().mean() - (1 - kept)) < 4 * (kept * (1 - kept) / 400) ** 0.5
    # In evaluation it is the network without.
    plain = CreamNet([[0], [0, 0, 0], [0], [0]], space=tiny_space().to_dict())
    plain.load_state_dict(net.state_dict())
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(net.eval()(image)[0], plain.eval()(image)[0])


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_a_drop_path_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=f'drop_path_rate must be from 0 to below 1; got {rate}'):
        CreamNet('dna-a', drop_path_rate=rate)
