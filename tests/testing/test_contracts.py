"""All spaces, cost models, samplers, strategies and supernets keep their contracts."""

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.registry import MODELS, TASK_UTILS
from cream_mm.spaces import SPACE_PRESETS, NASBench201Space, build_space
from cream_mm.testing import ToySpace, tiny_elastic, tiny_space
from cream_mm.testing.contracts import (
    CostModelContract,
    SamplerContract,
    SpaceContract,
    StrategyContract,
    SupernetContract,
)

SKIPS = dict(choices=('identity', (3, 4)), stem_channels=16)
SEVERAL = [[(1, 24), (2, 24), (2, 32)], [(2, 40)]]  # cells of two blocks
SPACES = [
    *SPACE_PRESETS,
    tiny_space(),
    tiny_space(name='skips', depths=(3, 2), **SKIPS),
    tiny_space(name='many', choices=[(3, e) for e in range(1, 12)]),
    dict(type='BlockSpace', preset='dna', name='one cell a block'),
    dict(type='BlockSpace', preset='dna_identity', strides=(2, 1), cells=SEVERAL),
    ToySpace(),
    ToySpace('cut', cuts=True),
    ToySpace('uneven', sizes=(3, 1, 2, 5), nodes=(2, 2)),
    NASBench201Space(),
    dict(
        type='NASBench201Space', name='cells of a detector', channels=8, num_cells=1, stem_stride=4
    ),
]


def name_of(item):
    return getattr(item, 'name', item)


class TestSpaces(SpaceContract):
    @pytest.fixture(params=SPACES, ids=name_of)
    def space(self, request):
        return build_space(request.param)


TINY_MS = dict(fixed_ms=0.7, choices_ms=[[[0.1, 0.3], [0.2, 0.5]], [[0.9, 0.4], [0.6, 0.8]]])
COSTS = {
    **{name: (name, 64, 10) for name in SPACE_PRESETS},
    'tiny': (tiny_space(), (9, 7), 3, 16),
    'identity': (tiny_space(name='skips', **SKIPS), 8, 3),
    'blocks': (dict(type='BlockSpace', preset='nas_bench_macro'), 16, 10),
    'toy': (ToySpace(), 4, 10),
    'not additive': (ToySpace(cuts=True), 4, 10),
    'cells': (NASBench201Space(), 32, 10),
    'cells of a detector': (NASBench201Space(num_cells=2, stem_stride=8), (97, 130), 10, 64),
}


class TestCostModels(CostModelContract):
    @pytest.fixture(params=COSTS)
    def cost_model(self, request):
        space, *args = COSTS[request.param]
        return build_cost_model(build_space(space), *args)


class TestBackboneAlone(CostModelContract):
    @pytest.fixture(params=[tiny_space(), ToySpace(), NASBench201Space()], ids=name_of)
    def cost_model(self, request):
        return build_cost_model(request.param, 8, head=None)


EDGE_MS = [0.0, 0.1, 0.4, 0.9, 0.3]
CELL_MS = dict(fixed_ms=2.5, choices_ms=[[EDGE_MS], [EDGE_MS] * 2, [EDGE_MS] * 3])


class TestTimes(CostModelContract):
    @pytest.fixture(
        params=[(tiny_space(), TINY_MS), (NASBench201Space(), CELL_MS)], ids=['tiny', 'cells']
    )
    def cost_model(self, request):
        space, latency = request.param
        return build_cost_model(space, 8, latency=latency)


def budget_of(space, *shares):
    """A budget of params between shares of the largest; without shares, an open one."""
    model = build_cost_model(space, 8, 10)
    most = model.extremes() and model.extremes()[1]['params_m']
    most = most or model.cost(space.decode([n - 1 for n in space.sizes])).in_units()['params_m']
    return Budget(model, **({'params_m': [share * most for share in shares]} if shares else {}))


SAMPLERS = {
    'PathSampler': (dict(type='PathSampler'), tiny_space(), ()),
    'a prior': (dict(type='PathSampler', op_prob=[1, 3]), tiny_space(), ()),
    'a budget': (dict(type='PathSampler'), tiny_space(), (0.5, 0.9)),
    'positions that differ': (dict(type='PathSampler'), ToySpace(), ()),
    'and a budget': (dict(type='PathSampler'), ToySpace(), (0.4, 0.9)),
    'not additive': (dict(type='PathSampler'), ToySpace(cuts=True), (0.4, 0.9)),
    'FairPathSampler': (dict(type='FairPathSampler'), tiny_space(), ()),
    'fair where positions differ': (dict(type='FairPathSampler'), ToySpace(), ()),
    'cells': (dict(type='PathSampler'), NASBench201Space(), ()),
    'cells, a prior': (dict(type='PathSampler', op_prob=[9, 1, 1, 1, 1]), NASBench201Space(), ()),
    'cells and a budget': (dict(type='PathSampler'), NASBench201Space(), (0.3, 0.4)),
    'by costs': (dict(type='CostPathSampler'), tiny_space(), ()),
    'slices': (dict(type='PathSampler'), tiny_elastic(), (0.5, 0.7)),
    'slices by costs': (dict(type='CostPathSampler'), tiny_elastic(), ()),
    'slices by costs within a budget': (dict(type='CostPathSampler'), tiny_elastic(), (0.5, 0.7)),
    'fair slices': (dict(type='FairPathSampler'), tiny_elastic(), ()),
    'fair cells': (dict(type='FairPathSampler'), NASBench201Space(), ()),
}


class TestSamplers(SamplerContract):
    @pytest.fixture(params=SAMPLERS)
    def make(self, request):
        cfg, space, shares = SAMPLERS[request.param]
        args = dict(space=space, budget=budget_of(space, *shares))
        return lambda seed: TASK_UTILS.build(dict(cfg, seed=seed, **args))


STRATEGIES = {
    'RandomSearch': {},
    'RegularizedEvolution': dict(population=6, tournament=3),
    'NSGA2': dict(population=6),
    'NAOSearch': dict(num_initial=4, num_new=6, num_seeds=3, epochs=2),
}
STRATEGY_SPACES = [
    (tiny_space(depths=(3, 3)), (0.3, 0.95)),
    (ToySpace(), (0.2, 0.99)),
    (ToySpace('cut', cuts=True), (0.1, 0.99)),
    (ToySpace('uneven', sizes=(3, 1, 2, 5, 4), nodes=(2, 3)), (0.1, 0.99)),
    (NASBench201Space(), (0.05, 0.6)),
]
SLICES = tiny_elastic(), (0.35, 0.9)


class TestStrategies(StrategyContract):
    num = 12

    @pytest.fixture(params=STRATEGY_SPACES, ids=lambda pair: pair[0].name)
    def where(self, request):
        space, shares = request.param
        return dict(space=space, budget=budget_of(space, *shares))

    @pytest.fixture(params=STRATEGIES)
    def make(self, request, where):
        if request.param == 'NSGA2':
            pytest.importorskip('pymoo')
        cfg = dict(type=request.param, **STRATEGIES[request.param], **where)
        return lambda seed=0: TASK_UTILS.build(dict(cfg, seed=seed))


class TestMainEffectsSearch(TestStrategies):
    compares_scores = False

    @pytest.fixture
    def make(self, where):
        cfg = dict(type='MainEffectsSearch', num_random=5, **where)
        return lambda seed=0: TASK_UTILS.build(dict(cfg, seed=seed))


class TestCombinedEffectsSearch(TestStrategies):
    @pytest.fixture(params=[*STRATEGY_SPACES, SLICES], ids=lambda pair: pair[0].name)
    def where(self, request):
        space, shares = request.param
        return dict(space=space, budget=budget_of(space, *shares))

    @pytest.fixture
    def make(self, where):
        cfg = dict(type='CombinedEffectsSearch', num_random=5, **where)
        return lambda seed=0: TASK_UTILS.build(dict(cfg, seed=seed))


class TestSingleChangesSearch(StrategyContract):
    num = 24  # of which 15 are single changes

    @pytest.fixture
    def make(self):
        # Single changes are asked for whatever they cost; these are all within the budget.
        space = tiny_elastic()
        cfg = dict(type='SingleChangesSearch', space=space, budget=budget_of(space, 0.3, 1))
        return lambda seed=0: TASK_UTILS.build(dict(cfg, seed=seed))


class TestBoardPick(TestStrategies):
    @pytest.fixture
    def make(self, where):
        sampler = TASK_UTILS.build(dict(type='PathSampler', **where))
        board = list(dict.fromkeys(sampler.sample(step) for step in range(60)))
        cfg = dict(type='BoardPick', archs=[arch.to_list() for arch in board], **where)
        return lambda seed=0: TASK_UTILS.build(dict(cfg, seed=seed))


SUPERNETS = {
    'tiny': tiny_space(),
    'identity': tiny_space(name='skips', depths=(3, 2), **SKIPS),
    'no first block': tiny_space(name='bare', first_channels=0, act='relu', se='none'),
    'no last block': tiny_space(name='lite', final_channels=0, padding='same', act='relu6'),
}


def build_supernet(space, **kwargs):
    net = MODELS.build(dict(type='CreamSupernet', space=space.to_dict(), **kwargs))
    net.init_weights()
    return net


class TestCreamSupernet(SupernetContract):
    @pytest.fixture(params=SUPERNETS)
    def supernet(self, request):
        space = SUPERNETS[request.param]
        return build_supernet(space, out_indices=(1, 3))

    @pytest.fixture(params=SUPERNETS)
    def chain(self, request):
        costs = dict(input_size=16, num_classes=5)
        return build_supernet(SUPERNETS[request.param], costs=costs, budget=dict(macs_m=(0, 99)))


class TestBlockSupernet(SupernetContract):
    @pytest.fixture(params=['widen_last', 'project'])
    def supernet(self, request):
        costs = dict(input_size=16, num_classes=5)
        space = dict(tiny_space().to_dict(), type='BlockSpace')
        return MODELS.build(
            dict(
                type='BlockSupernet', space=space, teacher_channels=(12, 20), costs=costs,
                align=request.param,
            )
        )  # fmt: skip

    @pytest.fixture
    def chain(self, supernet):
        return supernet


CELLS = {
    'a bank for each edge': None,
    'shared by a table': dict(type='TableRouter', table=[0, 1, 0, 2, 1, 0]),
}


class TestNAOSupernet(SupernetContract):
    @pytest.fixture
    def supernet(self):
        space = dict(channels=4, num_cells=1)
        return MODELS.build(dict(type='NAOSupernet', space=space, drop_path_rate=0.0))


class TestNASBench201Supernet(SupernetContract):
    @pytest.fixture(params=CELLS)
    def supernet(self, request):
        space = dict(channels=4, num_cells=1)
        return MODELS.build(
            dict(type='NASBench201Supernet', space=space, router=CELLS[request.param], affine=True)
        )

    @pytest.fixture
    def archs(self, supernet):
        """Cells that the input passes through: means of zeros would move no statistics."""
        space, rng = supernet.space, np.random.default_rng(0)
        return [space.decode([3] * 6), *(space.sample(rng) for _ in range(8))]
