"""Tests lie where their modules lie: ``cream_mm/a/b.py`` is tested in ``tests/a/test_b.py``."""

import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent / 'cream_mm'
MIN_LINES = 31  # a shorter module needs no file of tests of its own
# Tested elsewhere: together with others, in whole runs, or where pytest, which knows test files
# by their last name alone, would take two for one. With each, what of it is spoken of there.
ELSEWHERE = {
    '__main__.py': ('test_main.py', 'python -m cream_mm'),
    'apis/correlate.py': ('commands/test_trust_tools.py', 'rank_correlation'),
    'apis/predict.py': ('commands/test_predict.py', 'apis.predict'),
    'apis/train_paths.py': ('commands/test_trust_tools.py', 'train_paths'),
    'commands/_training.py': ('commands/test_retrain.py', 'retrain.main'),
    'commands/check_data.py': ('reports/test_check_data.py', 'commands import check_data'),
    'commands/compare.py': ('commands/test_start.py', 'TOOLS'),
    'commands/export_arch.py': ('commands/test_smoke.py', 'export_arch.py'),
    'commands/export_onnx.py': ('deploy/test_export_folder.py', 'commands.export_onnx'),
    'commands/get_flops.py': ('commands/test_smoke.py', 'get_flops.py'),
    'commands/latency.py': ('commands/test_start.py', 'latency'),
    'commands/main.py': ('commands/test_console.py', 'cream-mm'),
    'commands/prepare_digits.py': ('datasets/test_digits.py', 'prepare_digits.py'),
    'commands/prepare_images.py': ('commands/test_start.py', 'prepare_images'),
    'commands/rank_correlation.py': ('commands/test_trust_tools.py', 'rank_correlation'),
    'commands/report.py': ('commands/test_smoke.py', 'report.py'),
    'commands/search.py': ('commands/test_trust_tools.py', 'search.py'),
    'commands/suggest_depths.py': ('commands/test_start.py', 'TOOLS'),
    'commands/test.py': ('commands/test_smoke.py', 'test.py'),
    'commands/train.py': ('commands/test_smoke.py', 'train.py'),
    'commands/train_paths.py': ('commands/test_trust_tools.py', 'train_paths'),
    'converters/convert_checkpoint.py': ('checkpoints/test_official.py', 'convert_checkpoint'),
    'converters/to_official.py': ('checkpoints/test_official.py', 'to_official'),
    'costs/blocks.py': ('costs/test_block_costs.py', 'BlockCosts'),
    'costs/cost.py': ('costs/test_cost_model.py', 'Cost'),
    'costs/elastic.py': ('costs/test_elastic_costs.py', 'ElasticCosts'),
    'costs/mbconv.py': ('costs/test_mbconv_costs.py', 'ds_block'),
    'engine/hooks/checkpoint_hook.py': ('engine/test_runner.py', 'CheckpointHook'),
    'files/answer_file.py': ('engine/test_search_run.py', 'best_arch.json'),
    'methods/cream/board_hook.py': ('engine/test_search_run.py', 'BoardHook'),
    'methods/cream/board_rating_loop.py': ('engine/test_search_run.py', 'BoardRatingLoop'),
    'methods/elastic/full_network.py': (
        'methods/elastic/test_elastic_train_loop.py',
        'full.pth',
    ),
    'methods/elastic/sandwich.py': ('methods/elastic/test_elastic_train_loop.py', 'sandwich'),
    'models/layers/mbconv.py': ('models/layers/test_mbconv_blocks.py', 'build_choice'),
    'models/layers/squeeze_excite.py': ('models/layers/test_mbconv_blocks.py', 'SqueezeExcite'),
    'models/layers/sync_batch_norm.py': ('engine/test_distributed.py', 'SyncBatchNorm'),
    'models/supernets/supernet.py': (
        'models/supernets/test_block_supernet.py',
        'does not know what networks cost',
    ),
    'ops/cpu_kernels.py': ('ops/test_functional.py', 'cpu_kernels'),
    'search/front.py': ('search/test_search_front.py', 'budget_steps'),
    'search/strategies/effects_search.py': (
        'search/strategies/test_combined_effects_search.py',
        'budget_steps',
    ),
    'search/strategies/main_effects_search.py': (
        'search/strategies/test_strategies.py',
        'MainEffectsSearch',
    ),
    'search/strategies/nsga2.py': ('search/strategies/test_strategies.py', 'NSGA2'),
    'search/strategies/regularized_evolution.py': (
        'search/strategies/test_strategies.py',
        'RegularizedEvolution',
    ),
    'search/strategies/strategy.py': ('search/strategies/test_strategies.py', 'STRATEGIES'),
    'testing/contracts/costs.py': ('testing/test_contracts.py', 'CostModelContract'),
    'testing/contracts/ratings.py': ('testing/test_ratings_contract.py', 'RatingContract'),
    'testing/contracts/samplers.py': ('testing/test_contracts.py', 'SamplerContract'),
    'testing/contracts/spaces.py': ('testing/test_contracts.py', 'SpaceContract'),
    'testing/contracts/strategies.py': ('testing/test_contracts.py', 'StrategyContract'),
    'testing/contracts/supernets.py': ('testing/test_contracts.py', 'SupernetContract'),
    'testing/runs.py': ('engine/test_runner.py', 'run_differences'),
    'testing/shared_modules.py': ('testing/test_ratings_contract.py', 'SlicedSupernet'),
    'testing/tiny.py': ('structures/test_arch.py', 'tiny_space'),
    'testing/toy.py': ('testing/test_contracts.py', 'ToySpace'),
}
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob('*.py')
    if path.name != '__init__.py' and len(path.read_text().splitlines()) >= MIN_LINES
)


def mirrored(module: str) -> Path:
    path = Path(module)
    return path.with_name(f'test_{path.name}')


@pytest.mark.parametrize('module', MODULES)
def test_every_module_has_its_tests(module):
    place = mirrored(module)
    if module in ELSEWHERE:
        assert not (TESTS / place).exists(), f'{module} is tested at its place: off the list'
        place, word = ELSEWHERE[module]
        assert word in (TESTS / place).read_text(), f'no {word} in {place}'
    assert (TESTS / place).is_file(), f'no {place} tests {module}'


def test_the_list_names_no_module_that_is_gone():
    assert set(ELSEWHERE) <= set(MODULES)


def test_no_two_test_files_have_one_name():
    names = Counter(path.name for path in TESTS.rglob('test_*.py'))
    assert [name for name, number in names.items() if number > 1] == []
    assert not list(TESTS.rglob('__init__.py'))


def test_what_the_makefile_lists_is_there():
    text = (TESTS.parent / 'Makefile').read_text().replace('\\\n', ' ')
    listed = re.search(r'addprefix tests/,(.*)\)', text)[1].split()
    assert len(listed) > 5 and [name for name in listed if not (TESTS / name).exists()] == []


def test_a_module_without_tests_would_be_found(monkeypatch):
    with pytest.raises(AssertionError, match='no models/test_untested.py tests models/untested.py'):
        test_every_module_has_its_tests('models/untested.py')
    monkeypatch.setitem(ELSEWHERE, 'costs/budget.py', ('costs/test_cost_model.py', 'budget'))
    with pytest.raises(AssertionError, match='costs/budget.py is tested at its place: off'):
        test_every_module_has_its_tests('costs/budget.py')
    monkeypatch.setitem(ELSEWHERE, 'costs/money.py', ('costs/test_cost_model.py', 'dollars'))
    with pytest.raises(AssertionError, match='no dollars in costs/test_cost_model.py'):
        test_every_module_has_its_tests('costs/money.py')
