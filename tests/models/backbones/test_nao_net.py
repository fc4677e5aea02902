"""NAO's stand-alone network: golden numbers of its released code, and what a backbone has."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import golden_fill, made_cal, made_x, ramp
from torch import nn

from cream_mm.costs import build_cost_model
from cream_mm.models import NAOClsHead, NAONet
from cream_mm.models.layers.nao_ops import FactorizedReduce

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/nao/network.json').read_text())
MIXED = GOLDEN['plain'][4]['arch']  # its reduction cell concatenates one of its inputs
SMALL = dict(channels=4, num_cells=1)
MODES = ('eval_logits', 'calibrated_eval_logits', 'train_logits')


class Classifier(nn.Module):
    """The network with the classifiers that the released one has behind it."""

    def __init__(self, record, auxiliary=False):
        super().__init__()
        space = dict(channels=record['channels'], num_cells=record['num_cells'])
        self.backbone = NAONet(record['arch'], space=space, auxiliary=auxiliary)
        channels = NAONet.auxiliary_channels(self.backbone.arch, self.backbone.space)
        self.head = NAOClsHead(10, self.backbone.out_channels[-1], channels * auxiliary)

    def forward(self, x):
        feats = self.backbone(x)
        second = self.head.auxiliary_head(feats[-2]) if len(feats) > 1 else None
        return self.head(feats), second


def official(key):
    return key.split('.', 1)[1]


def keys_of(net):
    """In the order of the released state dict: the classifier is the last of all."""
    keys = [f'{official(k)} {"x".join(map(str, v.shape))}' for k, v in net.state_dict().items()]
    return sorted(keys, key=lambda key: (key.startswith('classifier'), key.startswith('auxil')))


@pytest.mark.parametrize('auxiliary', [False, True])
def test_keys_are_the_released_ones(auxiliary):
    for record in [GOLDEN['auxiliary']] if auxiliary else GOLDEN['plain']:
        net = Classifier(record, auxiliary)
        assert sum(p.numel() for p in net.parameters()) == record['params']
        keys = keys_of(net)
        assert len(keys) == record['n_keys']
        assert hashlib.sha256('\n'.join(keys).encode()).hexdigest() == record['keys_sha256']


def logits_of(record, mode, auxiliary=False):
    """By the filled running statistics, by those of a batch, or in training; and the second's."""
    net = Classifier(record, auxiliary).double()
    net.load_state_dict(golden_fill(net.state_dict(), official))
    x, calibration = ramp(made_x([4, 3, 32, 32])), ramp(made_cal([4, 3, 32, 32], 777))
    with torch.no_grad():
        if mode == 'calibrated_eval_logits':
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = 1.0
            net.train()(calibration)
        return net.train(mode == 'train_logits')(x)


def assert_close(found, expected):
    expected = torch.tensor(expected, dtype=torch.float64)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


FAST = {(1, MODES[2]), (4, MODES[0]), (4, MODES[1])}  # convolutions in float64 are not


@pytest.mark.parametrize(('number', 'mode'), [
    pytest.param(number, mode, marks=() if (number, mode) in FAST else pytest.mark.slow)
    for number in range(6) for mode in MODES
])  # fmt: skip
def test_logits(number, mode):
    record = GOLDEN['plain'][number]
    assert_close(logits_of(record, mode)[0], record[mode])


def test_logits_of_the_published_network_in_training():
    logits, second = logits_of(GOLDEN['auxiliary'], 'train_logits', auxiliary=True)
    assert_close(logits, GOLDEN['auxiliary']['train_logits'])
    assert_close(second, GOLDEN['auxiliary']['train_aux_logits'])


def count_convolutions(net, images):
    """Multiply-adds of every convolution as it runs."""
    seen = []
    hooks = [
        module.register_forward_hook(
            lambda m, x, out: seen.append(out[0, 0].numel() * m.weight.numel())
        )
        for module in net.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        maps = net.eval()(images)
    for hook in hooks:
        hook.remove()
    return maps, sum(seen)


@pytest.mark.parametrize('number', range(6))
def test_costs_are_those_of_the_modules(number):
    record = GOLDEN['plain'][number]
    net = Classifier(record)
    macs = count_convolutions(net, torch.zeros(1, 3, 32, 32))[1]
    space = net.backbone.space
    cost = build_cost_model(space, 32, 10).cost(net.backbone.arch)
    assert cost.macs == macs + 10 * net.backbone.out_channels[-1]
    assert cost.params == record['params']


@pytest.mark.parametrize('stride', [1, 2, 4, 8])
@pytest.mark.parametrize('size', [(64, 48), (50, 37)])
def test_maps_and_costs_at_any_stride(stride, size):
    net = NAONet(MIXED, space=dict(SMALL, stem_stride=stride), out_indices=(0, 1, 2))
    maps, macs = count_convolutions(net, torch.zeros(1, 3, *size))
    assert net.out_channels == NAONet.map_channels(net.arch, net.space)
    for out, channels, factor in zip(maps, net.out_channels, NAONet.map_strides(None, net.space)):
        assert out.shape[1] == channels
        assert tuple(out.shape[2:]) == tuple(-(-side // factor) for side in size)
    cost = build_cost_model(net.space, size, head=None).cost(net.arch)
    assert cost.macs == macs
    assert cost.params == sum(p.numel() for p in net.parameters())


def test_the_stride_has_no_weights():
    one, four = (NAONet(MIXED, space=dict(SMALL, stem_stride=s)) for s in (1, 4))
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (one, four)]
    assert shapes[0] == shapes[1]


def test_frozen_stages_and_norm_eval():
    net = NAONet(MIXED, space=SMALL, frozen_stages=2, norm_eval=True).train()
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in net.named_parameters() if n.startswith(
        ('stem.', 'cells.0.', 'cells.1.', 'cells.2.'))}  # fmt: skip
    assert not net.cells[2].training and net.cells[3].training
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(torch.randn(2, 3, 8, 8))[-1].sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.init_weights()  # which draws all of them: they stay frozen
    assert {n for n, p in net.named_parameters() if not p.requires_grad} == frozen


@pytest.mark.parametrize('kwargs, match', [
    (dict(frozen_stages=4), '-1 to 3; got 4'),
    (dict(out_indices=(3,)), r'out_indices must lie in 0\.\.2; got \(3,\)'),
    (dict(drop_path_rate=1.0), 'drop_path_rate must be from 0 to below 1; got 1.0'),
    (dict(out_indices=(0, 1), auxiliary=True), r'auxiliary=True needs the last map; got'),
    (dict(space=dict(width=3)), r"no \['width'\]; it has name, channels, num_cells, stem_stride"),
])  # fmt: skip
def test_wrong_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        NAONet(MIXED, **kwargs)


def test_checkpointing_changes_no_gradient():
    """With the same samples dropped."""
    grads, x = [], torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    net = NAONet(MIXED, space=SMALL, drop_path_rate=0.5, norm_eval=True).train()
    for with_cp in (False, True):
        net.with_cp = with_cp
        net.zero_grad()
        torch.manual_seed(0)
        net(x)[-1].square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) > 10 and all(map(torch.equal, *grads))


def test_drop_path_rises_with_depth_and_scale():
    net = NAONet(MIXED, space=dict(channels=4, num_cells=3), drop_path_rate=0.2).train()
    assert len(net.cells) == 11
    assert net.keep_rate(0) == pytest.approx(1 - 0.2 / 11)
    assert net.keep_rate(10) == pytest.approx(0.8)
    net.drop_path_scale = 0.25
    assert net.keep_rate(10) == pytest.approx(0.95)
    x = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(net(x)[-1], net(x)[-1])
    net.drop_path_scale = 0.0
    assert torch.equal(net(x)[-1], net(x)[-1])
    net.drop_path_scale = 1.0
    net.eval()
    assert net.keep_rate(10) == 1.0 and torch.equal(net(x)[-1], net(x)[-1])


def test_the_auxiliary_map_is_that_behind_the_second_reduction():
    net = NAONet(MIXED, space=SMALL, auxiliary=True, out_indices=(0, 2))
    seen = []
    net.cells[3].register_forward_hook(lambda m, x, out: seen.append(out))
    x = torch.randn(2, 3, 16, 16)
    maps = net.train()(x)
    assert [m.shape[2] for m in maps] == [16, 4, 4] and maps[1] is seen[0]
    assert maps[1].shape[1] == NAONet.auxiliary_channels(net.arch, net.space) == 16 * 3
    assert len(net.eval()(x)) == 2
    assert net.out_channels == (8, 32)


def test_weights_begin_as_he_draws_them():
    torch.manual_seed(0)
    net = NAONet(MIXED, space=dict(channels=64, num_cells=1))
    net.init_weights()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            deviation = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(deviation, rel=0.2)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


def test_what_is_halved_before_it_is_concatenated():
    net = NAONet(MIXED, space=SMALL)
    assert net.space.concat(net.arch) == ((5, 6), (0, 5, 6))
    halved = [i for i, cell in enumerate(net.cells) if len(cell.final_combine.ops)]
    assert halved == [1, 3]  # the reduction cells alone
    assert isinstance(net.cells[1].final_combine.ops[0], FactorizedReduce)


@pytest.mark.parametrize('number', [pytest.param(2, marks=pytest.mark.slow), 4])
@torch.no_grad()
def test_trace_and_onnx_answer_as_the_network(number, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    torch.manual_seed(number)
    net = NAONet(GOLDEN['plain'][number]['arch'], space=SMALL, out_indices=(0, 2)).train()
    for _ in range(2):
        net(torch.randn(8, 3, 19, 14))
    net.eval()
    x = torch.randn(2, 3, 19, 14)  # sides that are odd in some stage
    expected = net(x)
    legacy = {} if torch.__version__.startswith('2.1.') else dict(dynamo=False)
    torch.onnx.export(net, (x,), str(tmp_path / 'net.onnx'), **legacy)
    session = onnxruntime.InferenceSession(tmp_path / 'net.onnx')
    by_onnx = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for found in (torch.jit.trace(net, x)(x), by_onnx):
        for ours, theirs in zip(found, expected, strict=True):
            error = (torch.as_tensor(ours) - theirs).abs().max()
            assert error < 1e-4 * theirs.abs().max()
