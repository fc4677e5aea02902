"""Layers of MBConv stages that share banks."""

import copy
import re

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from cream_mm.evaluation import ArchEvaluator
from cream_mm.methods.close import SharedStageSupernet
from cream_mm.models import CreamSupernet
from cream_mm.models.layers.bn_policy import recalibrated
from cream_mm.models.supernets import cut_path
from cream_mm.registry import MODELS
from cream_mm.testing import tiny_cream, tiny_samples, tiny_space
from cream_mm.testing.contracts import RatingContract, SupernetContract

SPACE = tiny_space(depths=(4, 3))
COSTS = dict(input_size=16, num_classes=5)
IDENTITY = dict(type='TableRouter', table=list(range(7)))


def build(active=1, space=SPACE, **kwargs):
    torch.manual_seed(0)
    router = dict(type='cream_mm.SplitTableRouter', active=active)
    net = MODELS.build(
        dict(
            dict(type='cream_mm.SharedStageSupernet', space=space.to_dict(), router=router),
            **kwargs,
        )
    )
    net.init_weights()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if 'bn' in name:
                value += 0.2 * torch.randn_like(value)
    return net


def images(n=6, size=16, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


class TestContract(SupernetContract):
    @pytest.fixture(params=[1, 2, 3])
    def supernet(self, request):
        return build(request.param, out_indices=(1, 3))

    @pytest.fixture(params=[3, IDENTITY], ids=['split', 'identity'])
    def chain(self, request):
        """With a bank for each layer; where layers share them see below."""
        settings = dict(costs=COSTS, budget=dict(macs_m=(0, 99)))
        if request.param == 3:
            return build(3, **settings)
        return build(router=request.param, **settings)


class TestIdentities(SupernetContract):
    """With choices that have no weights, and no last block."""

    @pytest.fixture(params=[1, 2])
    def supernet(self, request):
        space = tiny_space(
            name='skips', depths=(3, 2), choices=('identity', (3, 4)), stem_channels=16,
            final_channels=0,
        )  # fmt: skip
        return build(request.param, space)


class TestRatings(RatingContract):
    @pytest.fixture(params=[1, 2])
    def model(self, request):
        return around(build(request.param, tiny_space(depths=(4, 1))))


def around(backbone):
    """Cream's model with this supernet."""
    model = tiny_cream(
        space=backbone.space, data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3)
    )
    model.backbone = backbone
    backbone.set_costs(dict(input_size=8, num_classes=3, head_channels=16))
    return model


# ---- banks ---------------------------------------------------------------------------------------


def test_layers_of_a_stage_run_with_the_weights_of_their_bank():
    net = build()
    arch = SPACE.decode([0, 1, 0, 1, 1, 0, 0])
    for table in ([0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]):
        net.set_arch(arch)
        for i, (layer, choice) in enumerate(zip(table, arch.stages[0])):
            assert net.route(1, i, choice) is net.blocks[1][layer][choice]
        if net.num_active < 3:
            net.grow()
    assert list(net.path_blocks())[1:5] == [net.blocks[1][i][c] for i, c in enumerate([0, 1, 0, 1])]


def test_what_a_bank_inherits_from():
    net = build()
    first = net.grow()
    assert [(new is net.blocks[s][2], old is net.blocks[s][1]) for s, (new, old) in
            enumerate(first, start=1)] == [(True, True)] * 2  # fmt: skip
    ((new, old),) = net.grow()  # the second stage has a bank for each layer
    assert new is net.blocks[1][3] and old is net.blocks[1][2]
    with pytest.raises(ValueError, match='all 3 banks'):
        net.grow()


def test_the_current_path_follows_what_grows_and_what_is_loaded():
    net, x = build().eval(), images()
    arch = SPACE.decode([1] * 7)
    state = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        net.set_arch(arch)
        before = net(x)[-1]
        net.grow()
        after = net(x)[-1]
        assert not torch.equal(after, before)
        state_2 = copy.deepcopy(net.state_dict())
        net.load_state_dict(state)
        assert net.num_active == 1 and torch.equal(net(x)[-1], before)
        net.load_state_dict(state_2)
        assert len(set(net.path_blocks())) == 2 + 3 + 3
        assert net.num_active == 2 and torch.equal(net(x)[-1], after)


def test_names_and_number_of_weights():
    def keys(net):
        return {key for key in net.state_dict() if not key.startswith('router.')}

    full, space = MODELS.build(dict(type='CreamSupernet', space=SPACE.to_dict())), SPACE.to_dict()
    assert keys(build()) == keys(full)  # banks that are to come are there
    router = dict(type='cream_mm.SplitTableRouter', num_banks=1)
    one = SharedStageSupernet(space, router=router)
    assert [len(stage) for stage in one.blocks] == [1, 2, 2, 1]
    assert keys(one) == {k for k in keys(full) if not re.match(r'blocks\.[12]\.[23]\.', k)}
    size = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    shared = {k: p.numel() for k, p in full.named_parameters() if re.match(r'blocks\.1\.1\.', k)}
    second = {k: p.numel() for k, p in full.named_parameters() if re.match(r'blocks\.2\.1\.', k)}
    assert size(full) - size(one) == 2 * sum(shared.values()) + sum(second.values())
    router = dict(router, num_banks=2, rule='max')
    assert [len(s) for s in SharedStageSupernet(space, router=router).blocks] == [1, 3, 3, 1]


def test_with_a_bank_for_each_layer_it_is_the_supernet_without():
    """Bit for bit: weights as they are drawn, as they are trained, and what they give."""
    nets = []
    for kind in (dict(type='CreamSupernet'), dict(type='SharedStageSupernet', router=IDENTITY)):
        torch.manual_seed(3)
        net = MODELS.build(dict(kind, space=SPACE.to_dict()))
        net.init_weights()
        optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
        net.train()
        rng = np.random.default_rng(0)
        for step in range(6):
            net.set_arch(SPACE.sample(rng))
            optimizer.zero_grad()
            net(images(seed=step))[-1].square().mean().backward()
            optimizer.step()
        nets.append(net.eval())
    plain, shared = nets
    assert isinstance(plain, CreamSupernet) and plain.route(1, 2, 0) is plain.blocks[1][2][0]
    own = {k: v for k, v in shared.state_dict().items() if not k.startswith('router.')}
    assert list(own) == list(plain.state_dict())
    assert all(torch.equal(own[key], value) for key, value in plain.state_dict().items())
    rng = np.random.default_rng(1)
    for _ in range(4):
        arch = SPACE.sample(rng)
        for net in nets:
            net.set_arch(arch)
        with torch.no_grad():
            assert torch.equal(plain(images())[-1], shared(images())[-1])
        assert list(plain.path_parameters()) == list(shared.path_parameters())
        cut = [net.cut(net.state_dict(), arch, prefix='') for net in nets]
        assert all(torch.equal(cut[1][k], v) for k, v in cut[0].items()) and len(set(map(len, cut)))
        layers = [net.path_layers(arch) for net in nets]
        assert [layer.key for layer in layers[0]] == [layer.key for layer in layers[1]]


def test_gradients_of_a_bank_are_the_sum_over_its_layers():
    net = build().double().train()
    arch = SPACE.decode([0, 1, 1, 1, 0, 0, 1])
    fixed = net.export(arch).train()
    x = images().double()
    net.set_arch(arch)
    for one in (net, fixed):
        one(x)[-1].square().mean().backward()
    theirs = dict(fixed.named_parameters())
    for name in ('conv_pw.weight', 'bn2.bias', 'se.conv_reduce.weight'):
        own = dict(net.blocks[1][1][1].named_parameters())[name].grad
        parts = [theirs[f'blocks.1.{layer}.{name}'].grad for layer in (1, 2, 3)]
        torch.testing.assert_close(own, sum(parts))
        assert dict(net.blocks[1][2][1].named_parameters())[name].grad is None
    assert int(net.blocks[1][1][1].bn1.num_batches_tracked) == 3  # and all three move statistics


# ---- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('active', [1, 2])
def test_a_chain_of_layers_only_where_no_module_repeats(active):
    net = build(active)
    found = set()
    for arch in map(SPACE.decode, np.random.default_rng(0).integers(0, 2, (60, 7)).tolist()):
        net.set_arch(arch)
        blocks = list(net.path_blocks())
        repeats = len(set(blocks)) < len(blocks)
        assert (net.path_layers(arch) is None) == repeats
        modules = list(net.path_modules())
        assert len(set(modules)) == len(modules)
        found.add(repeats)
    assert found == ({True} if active == 1 else {True, False})


@pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
def test_a_path_is_rated_as_the_exported_network(policy):
    """Whose layers, and their batch norms, are modules of their own."""
    model = around(build()).eval()
    data = [
        [dict(inputs=x, data_samples=s) for x, s in zip(
            torch.randint(0, 256, (n, 3, 8, 8), generator=torch.Generator().manual_seed(n),
                          dtype=torch.uint8),
            tiny_samples([i % 3 for i in range(n)]),
        )] for n in (10, 9)
    ]  # fmt: skip
    evaluator = ArchEvaluator(model, *data, bn_policy=policy, batch_size=4)
    twin = ArchEvaluator(
        around(build(router=IDENTITY)).eval(), *data, bn_policy=policy, batch_size=4
    )
    pooled = 0
    for flat in ([0] * 7, [1, 0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0]):
        arch = SPACE.decode(flat)
        exported = model.backbone.export(arch)
        state = twin.model.backbone.state_dict()
        for key, value in exported.state_dict().items():
            place = re.fullmatch(r'(blocks\.(\d)\.(\d))\.(.+)', key)
            if place:
                stage, layer = int(place[2]), int(place[3])
                choice = arch.stages[stage - 1][layer] if stage in (1, 2) else 0
                key = f'{place[1]}.{choice}.{place[4]}'
            state[key].copy_(value)
        twin.model.head.load_state_dict(model.head.state_dict())
        ours, theirs = evaluator.rate(arch), twin.rate(arch)
        assert ours == theirs
        assert evaluator.rate_all([arch], lambda *_: None) == [ours]
        if policy == 'recalibrate':  # what one set of statistics for each bank would give
            with model.backbone.using(arch), torch.no_grad():
                run = evaluator._calibrate
                with recalibrated(model.backbone.path_modules(), run):
                    wrong = evaluator._count()
            pooled += abs(wrong.loss - ours.loss) > 1e-3
    assert policy == 'batch_stats' or pooled == 3


def test_weights_are_cut_out_of_a_checkpoint_alone():
    net = build(2)
    arch = SPACE.decode([0, 1, 1, 0, 1, 0, 1])
    state = {f'backbone.{k}': v.clone() for k, v in net.state_dict().items()}
    state['head.fc.bias'] = torch.ones(2)
    cut = cut_path(state, arch, space=SPACE)
    assert not [key for key in cut if 'router' in key] and 'head.fc.bias' in cut
    key = 'backbone.blocks.1.{}.{}conv_pw.weight'.format
    for layer, bank, choice in ((0, 0, 0), (1, 1, 1), (2, 2, 1), (3, 2, 0)):
        assert torch.equal(cut[key(layer, '')], state[key(bank, f'{choice}.')])
    net.grow()  # the checkpoint's table counts, not the model's
    assert all(torch.equal(net.cut(state, arch)[k], v) for k, v in cut.items())
    assert cut_path(state, arch).keys() == cut.keys()
    assert not torch.equal(net.cut(net.state_dict(), arch, prefix='')[key(3, '')[9:]],
                           cut[key(3, '')])  # fmt: skip


def test_a_shallower_network_has_the_first_layers():
    net = build(2).eval()
    arch = net.space.parse([[0], [0, 1, 1], [1, 1], [0]])
    fixed = net.export(arch).eval()
    net.set_arch(arch)
    with torch.no_grad():
        assert torch.equal(net(images())[-1], fixed(images())[-1])
    state = net.state_dict()
    with pytest.raises(KeyError, match=r'not of stages of \[3, 2\] layers'):
        cut_path(state, arch, prefix='')  # whose layers these are, nobody says


@pytest.mark.parametrize('router, message', [
    (dict(type='TableRouter', table=[0, 1, 2]), 'a table of 3 layers'),
    (dict(type='TableRouter', table=[0, 1, 2, 3, 4, 5, 1]), 'its own stage'),
    (dict(type='TableRouter', table=[0, 0, 2, 3, 4, 5, 6]), 'does not fit'),
    (dict(private=0), 'does not fit'),
    (dict(stages=[7]), 'does not fit'),
    (dict(type='cream_mm.CreamNet'), 'by a table'),
    (dict(type='no such router'), 'by a table'),
])  # fmt: skip
def test_routers_that_do_not_fit(router, message):
    with pytest.raises(ValueError, match=message):
        SharedStageSupernet(SPACE, router=router)


def test_a_first_layer_that_changes_nothing_may_share():
    """The second stage keeps the width; without a stride its first layer is like the others."""
    space = tiny_space(depths=(2, 3), widths=(16, 16), strides=(2, 1))
    net = SharedStageSupernet(space, router=dict(type='TableRouter', table=[0, 1, 2, 2, 2]))
    assert [len(stage) for stage in net.blocks] == [1, 2, 1, 1]
    net.set_arch(space.decode([0] * 5))
    assert len(set(net.path_blocks())) == 1 + 2 + 1 + 1


def test_around_it_stands_any_model():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='cream_mm.SharedStageSupernet', space=SPACE.to_dict(),
                              costs=COSTS, budget=dict(macs_m=(0, 99))),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
            )
        )  # fmt: skip
    assert model.backbone.budget.is_feasible(SPACE.decode([0] * 7))
    losses = model.loss(images(), tiny_samples([0, 1, 2, 3, 4, 0]))
    losses['loss'].backward()
    assert model.backbone.blocks[1][1][0].conv_pw.weight.grad is not None
