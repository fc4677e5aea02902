"""Shared layers give what running each path alone gives, with fewer layers run."""

import itertools

import pytest
import torch
from torch import nn

from cream_mm.evaluation import ArchEvaluator, arch_evaluator
from cream_mm.evaluation.shared_prefix import SharedPrefix
from cream_mm.models import CreamSupernet
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

# Every network of two choices at four layers, the last two stages of unequal depth too.
ARCHS = [Arch(((a, b), (c, d))) for a, b, c, d in itertools.product(range(2), repeat=4)]


def dataset(count, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    samples = tiny_samples([i % 3 for i in range(count)])
    return [dict(inputs=x, data_samples=s) for x, s in zip(images, samples, strict=True)]


def make_evaluator(policy, **kwargs):
    torch.manual_seed(0)
    model = tiny_cream(data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3)).train()
    return ArchEvaluator(model, dataset(10, 0), dataset(9, 1), bn_policy=policy, batch_size=4,
                         **kwargs)  # fmt: skip


@pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
@pytest.mark.parametrize('archs', [ARCHS, ARCHS[::-1], ARCHS[3:11:3], ARCHS[:1], ARCHS[:2] * 2])
def test_ratings_equal_those_of_each_path_alone(policy, archs, monkeypatch):
    shared, alone = make_evaluator(policy), make_evaluator(policy, max_gb=0)
    before = {k: v.clone() for k, v in shared.model.state_dict().items()}
    seen = []
    ratings = shared.rate_all(archs, lambda i, rating: seen.append((i, rating)))
    assert len({r.loss for r in ratings}) == len(set(archs))
    monkeypatch.setattr(SharedPrefix, '__getitem__', None)  # not used without memory for it
    assert ratings == alone.rate_all(archs, lambda *_: None)
    assert sorted(seen) == list(enumerate(ratings)) and ratings == [alone.rate(a) for a in archs]
    assert shared.model.training
    assert all(torch.equal(v, before[k]) for k, v in shared.model.state_dict().items())


def test_the_saving_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(arch_evaluator, 'print_log', lambda text, *_: told.append(text))
    make_evaluator('batch_stats').rate_all(ARCHS, lambda *_: None)
    assert len(told) == 1 and '48 layers were run in place of 112 (57% saved)' in told[0]


def run(net, archs, max_bytes):
    images = [torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))]
    shared = SharedPrefix([net.path_layers(arch) for arch in archs], images, None, max_bytes)
    with torch.no_grad():
        return shared, [shared[i][0].clone() for i in range(len(archs))]


def test_layers_run_are_the_nodes_of_the_prefix_tree():
    torch.manual_seed(0)
    model = tiny_cream()
    shared, maps = run(model.backbone, ARCHS, max_bytes=10**9)
    # Stem, fixed first block, 2 + 4 + 8 + 16 choices; the last convolution for each path.
    assert shared.layers_run == 2 + 30 + 16
    assert shared.layers_asked == 16 * 7
    assert set(shared._kept) == {0}  # nothing branches off the last path
    scarce, same = run(model.backbone, ARCHS, max_bytes=1)
    assert scarce.layers_run == scarce.layers_asked
    assert all(torch.equal(a, b) for a, b in zip(maps, same, strict=True))


def test_identity_is_no_layer():
    torch.manual_seed(0)
    net = CreamSupernet('nas_bench_macro').eval()
    archs = [net.space.parse(text) for text in ('10000000', '10100000', '10200000')]
    shared, maps = run(net, archs, max_bytes=10**9)
    # stem, MB3, nothing, then strided identity | MB3 | MB6, strided identity, last convolution
    assert shared.layers_asked == 3 * 5 and shared.layers_run == 2 + 3 * 3
    for arch, x in zip(archs, maps, strict=True):
        alone = net.export(arch).train()
        for m in alone.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.track_running_stats = False
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            assert torch.equal(alone(images)[-1], x)
