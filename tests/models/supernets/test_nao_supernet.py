"""The supernet of NAO's cells: golden numbers of the released one, and what a step touches."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import golden_fill, made_cal, made_x, ramp
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cream_mm.models import NAONet, NAOSupernet
from cream_mm.models.layers.bn_policy import batch_stats, recalibrated
from cream_mm.models.supernets.cut_weights import cut_weights

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/nao/supernet.json').read_text())
SMALL = dict(channels=4, num_cells=1)
IMAGES = [4, 3, 32, 32]
ARCH = GOLDEN['rows'][1]['arch']  # its reduction cell concatenates one of its inputs


class Classifier(nn.Module):
    """The supernet with the released one's classifier."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = NAOSupernet(**kwargs)
        self.classifier = nn.Linear(80, 10)

    def forward(self, x):
        return self.classifier(self.backbone(x)[-1].mean((2, 3)))


def official(key):
    return key.removeprefix('backbone.')


@pytest.fixture(scope='module')
def filled():
    net = Classifier(drop_path_rate=0.0, official_rating=True).double()
    return net, golden_fill(net.state_dict(), official)


@pytest.fixture(params=[pytest.param(0, marks=pytest.mark.slow), 1, 2])
def record(request):
    return GOLDEN['rows'][request.param]


@pytest.fixture
def net(filled, record):
    net, weights = filled
    net.load_state_dict(weights)
    net.backbone.set_arch(net.backbone.space.parse(record['arch']))
    net.zero_grad()
    return net


def assert_close(found, expected):
    expected = torch.tensor(expected, dtype=torch.float64)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


def test_keys_and_sizes(filled):
    net = filled[0]
    keys = [f'{official(k)} {"x".join(map(str, v.shape))}' for k, v in net.state_dict().items()]
    assert len(keys) == GOLDEN['n_keys']
    assert hashlib.sha256('\n'.join(keys).encode()).hexdigest() == GOLDEN['keys_sha256']
    assert sum(p.numel() for p in net.parameters()) == GOLDEN['params'] == 7_387_350
    sizes = [sum(p.numel() for p in cell.parameters()) for cell in net.backbone.cells]
    assert sizes == GOLDEN['params_by_cell']


def test_training(net, record):
    """Logits, loss, and which parameters have what gradient."""
    logits = net.train()(ramp(made_x(IMAGES)))
    assert_close(logits.detach(), record['train_logits'])
    loss = F.cross_entropy(logits, torch.arange(4))
    assert loss.item() == pytest.approx(record['train_ce_targets_i_mod_10'], rel=1e-10)
    loss.backward()
    grads = {k: p.grad for k, p in net.named_parameters() if p.grad is not None}
    assert len(grads) == record['n_param_tensors_with_grad']
    assert sum(g.numel() for g in grads.values()) == record['n_param_elements_with_grad']
    norm = torch.stack([g.norm() for g in grads.values()]).norm().item()
    assert norm == pytest.approx(record['grad_total_norm'], rel=1e-9)
    on_path = {f'backbone.{name}' for name in net.backbone.path_parameters()}
    assert on_path == {name for name in grads if name.startswith('backbone.')}


def test_logits_by_running_statistics(net, record):
    with torch.no_grad():
        assert_close(net.eval()(ramp(made_x(IMAGES))), record['eval_logits'])


def test_logits_after_calibration(net, record):
    """The house's way, on one batch: the same as one training pass with momentum 1."""
    calibration = ramp(made_cal(IMAGES, 777))
    net.eval()
    modules = list(net.backbone.path_modules())
    fitted = recalibrated(modules, lambda: net.backbone(calibration), net.backbone)
    with torch.no_grad(), fitted:
        assert_close(net(ramp(made_x(IMAGES))), record['calibrated_eval_logits'])
    with torch.no_grad():  # all is as before
        assert_close(net(ramp(made_x(IMAGES))), record['eval_logits'])


def test_logits_of_the_released_rating(net, record):
    """By the batch, but for the stem and what halves concatenated inputs."""
    before = {k: v.clone() for k, v in net.named_buffers()}
    with torch.no_grad(), batch_stats(net.eval().backbone.path_modules()):
        assert_close(net(ramp(made_x(IMAGES))), record['rating_logits'])
    first = net.backbone.stem[1].running_mean[:3]
    assert_close(first, record['rating_stem_bn_running_mean_first3_after'])
    assert all(torch.equal(v, before[k]) for k, v in net.named_buffers())


def test_the_houses_rating_is_that_of_a_training_batch():
    net = NAOSupernet(SMALL, drop_path_rate=0.0)
    net.set_arch(net.space.parse(ARCH))
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        expected = net.train()(x)[-1]
        with batch_stats(net.eval().path_modules()):
            assert torch.equal(net(x)[-1], expected)


def test_norms_of_the_path_are_all_there_and_count():
    net = NAOSupernet(SMALL).train()
    net.set_arch(net.space.parse(ARCH))
    with torch.no_grad():
        net(torch.randn(4, 3, 16, 16))
    counted = {m for m in net.modules() if isinstance(m, _BatchNorm) and m.num_batches_tracked}
    assert counted == {m for m in net.path_modules() if isinstance(m, _BatchNorm)}
    assert not any('num_batches' in k for k in net.state_dict() if '_op.0.' in k)  # as released
    loaded = NAOSupernet(SMALL)
    weights = dict(net.state_dict())
    loaded.load_state_dict(weights)  # without the version of each module
    assert all(torch.equal(v, weights[k]) for k, v in loaded.state_dict().items())


def test_samples_drop_out_of_edges():
    net = NAOSupernet(SMALL).train()
    assert net.drop_path_rate == 0.1 and net.keep_rate(4) == pytest.approx(0.9)
    net.set_arch(net.space.parse(ARCH))
    x = torch.randn(32, 3, 8, 8)
    assert not torch.equal(net(x)[-1], net(x)[-1])
    net.drop_path_scale = 0.0
    assert torch.equal(net(x)[-1], net(x)[-1])


def test_maps_for_a_detector():
    net = NAOSupernet(dict(SMALL, stem_stride=4), out_indices=(0, 1, 2)).eval()
    maps = net(torch.zeros(1, 3, 64, 64))
    assert [tuple(out.shape[1:]) for out in maps] == [(4, 16, 16), (8, 8, 8), (16, 4, 4)]
    assert net.out_channels == (4, 8, 16)


def test_weights_do_not_travel():
    net = NAOSupernet(SMALL)
    arch = net.space.parse(ARCH)
    with pytest.raises(ValueError, match='its cells end in a conv1x1 that a network has not'):
        net.cut(net.state_dict(), arch)
    with pytest.raises(ValueError, match='Train the network from scratch'):
        cut_weights(net.space, net.state_dict(), arch)
    fresh = net.export(arch, out_indices=(0, 2), frozen_stages=0)
    assert isinstance(fresh, NAONet) and (fresh.arch, fresh.space) == (arch, net.space)
    assert fresh.out_indices == (0, 2) and not fresh.stem[0].weight.requires_grad


@pytest.mark.parametrize('kwargs, match', [
    (dict(space=dict(width=3)), r"no \['width'\]; it has name, channels, num_cells, stem_stride"),
    (dict(norm_cfg=dict(type='SyncBN')), "has type 'BN': each input has a scale"),
    (dict(drop_path_rate=-0.1), 'drop_path_rate must be from 0 to below 1; got -0.1'),
    (dict(out_indices=(0, 5)), r'out_indices must lie in 0\.\.2'),
    (dict(budget=dict(macs_m=(0, 1))), 'needs costs=dict'),
])  # fmt: skip
def test_wrong_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        NAOSupernet(**kwargs)
