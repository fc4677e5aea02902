import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import kendalltau

from cream_mm.costs import build_cost_model
from cream_mm.evaluation import RankReport, TableRow, rank_report
from cream_mm.spaces import NAOSpace
from cream_mm.testing import tiny_space

SPACE = tiny_space()
COSTS = build_cost_model(SPACE, 8, 3, 16)


def make_rows():
    """All 16 networks; the deeper the choices, the better, plus noise."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(16):
        arch = SPACE.decode([int(c) for c in f'{i:04b}'])
        costs = COSTS.cost(arch).in_units()
        accuracy = 80 + 5 * sum(SPACE.encode(arch)) + rng.normal()
        rows.append(TableRow(arch, accuracy, costs['macs_m'], costs['params_m']))
    return rows


def test_everything_at_once(tmp_path):
    rows = make_rows()
    scores = [row.accuracy for row in rows]  # a perfect ranking
    report = RankReport(
        scores, rows, rows, SPACE, above=[89.0], without=['1', '0'], num_resamples=20
    )
    content = report.to_dict()
    assert json.loads(json.dumps(content)) == content
    overall = content['subsets']['all']
    assert overall['score']['kendall']['interval'] == pytest.approx([1.0, 1.0])
    assert overall['macs']['kendall']['value'] < 1
    assert overall['score']['kendall_minus_macs']['interval'][0] >= 0
    top = overall['top_k_precision']
    assert list(top) == ['10', '1'] and top['10']['score'] == 1.0
    # All have four layers; of equal scores the cheapest goes first.
    assert top['1'] == dict(score=1.0, macs=1.0, params=1.0, layers=0.0)
    assert overall['layers']['kendall']['value'] is None
    high = content['subsets']['accuracy >= 89']
    assert high['num'] == sum(row.accuracy >= 89 for row in rows)
    # One network has no 1: no coefficient, no error.
    assert content['subsets']['without 1']['num'] == 1
    assert content['subsets']['without 1']['score']['kendall']['value'] is None
    assert list(content['regret']) == [
        f'{q:.6g}' for q in np.quantile([row.macs_m for row in rows], (0.25, 0.5, 0.75))
    ]
    for budget, entry in content['regret'].items():
        inside = [row for row in rows if row.macs_m <= float(budget) * (1 + 1e-6)]
        assert entry['score']['regret'] == 0 and entry['num_scored'] == len(inside)
        assert entry['random'] == pytest.approx(
            max(r.accuracy for r in inside) - np.mean([r.accuracy for r in inside])
        )
    shares = overall['precision']  # 5 % of 16 are less than one
    assert shares['score'] == dict(top={'10': 1.0, '50': 1.0}, bottom={'10': 1.0, '50': 1.0})
    assert shares['layers']['top']['50'] < 1
    text = report.text()
    assert '| of all, precision at the top | 10 % | 50 % |' in text
    assert '| all | 16 | score | 1.000 [1.000, 1.000]' in text
    report.plot(tmp_path / 'scatter.png')
    with Image.open(tmp_path / 'scatter.png') as image:
        assert image.width > 500 and image.height > 400


def test_baselines(tmp_path):
    space = tiny_space(choices=('identity', (3, 4)))
    costs = build_cost_model(space, 8, 3, 16)
    archs = [space.decode([int(c) for c in f'{i:04b}']) for i in range(16)]
    rows = []
    for i, arch in enumerate(archs):
        cost = costs.cost(arch).in_units()
        accuracy = 10.0 * sum(space.encode(arch)) + i / 16
        rows.append(TableRow(arch, accuracy, cost['macs_m'], cost['params_m']))
    depth = np.array([sum(space.encode(arch)) for arch in archs])
    score, naswot = np.arange(16.0), np.arange(16.0) % 5
    report = RankReport(score, rows, rows, space, naswot=naswot, num_resamples=20)
    overall = json.loads(json.dumps(report.to_dict()))['subsets']['all']
    truth = [row.accuracy for row in rows]
    for name, values in dict(score=score, layers=depth, naswot=naswot).items():
        expected = kendalltau(values, truth).statistic
        assert overall[name]['kendall']['value'] == pytest.approx(expected)
    # By 10 points a layer, ties aside: of 120 pairs 6 + 15 + 1 of sizes 4, 6, 4 tie.
    assert overall['layers']['kendall']['value'] == pytest.approx(np.sqrt((120 - 27) / 120))
    assert overall['score']['kendall_minus_layers']['value'] == pytest.approx(
        overall['score']['kendall']['value'] - overall['layers']['kendall']['value']
    )
    assert 'kendall_minus_naswot' in overall['score']
    assert 'kendall_minus_naswot' not in overall['layers']
    assert report.regret.popitem()[1]['naswot']['best_scored'] >= 0
    text = report.text()
    assert 'less that of params | less that of layers | less that of NASWOT |' in text
    assert {len(line.split('|')) for line in text.split('\n\n')[0].split('\n')} == {13}
    report.plot(tmp_path / 'scatter.png')


def test_regret_counts_networks_that_were_not_scored():
    rows = sorted(make_rows(), key=lambda row: row.accuracy)
    report = RankReport([1, 2], rows[:2], rows, SPACE, budgets=[1e6], num_resamples=5)
    entry = report.regret['1e+06']['score']
    assert entry['best'] == rows[-1].accuracy and entry['picked'] == rows[1].accuracy


def test_errors():
    rows = make_rows()
    with pytest.raises(ValueError, match='at least 2 networks; got 1'):
        RankReport([1], rows[:1], rows, SPACE)
    with pytest.raises(ValueError, match="no choice 'identity' in"):
        RankReport([1, 2], rows[:2], rows, SPACE, without=['identity'], num_resamples=2)
    with pytest.raises(ValueError, match='no network of the table costs at most 1e-09 M'):
        RankReport([1, 2], rows[:2], rows, SPACE, budgets=[1e-9], num_resamples=2)


def test_a_choice_by_its_name_stands_where_names_do():
    """Of cells of pairs, input 4 is no operation 4."""
    space = NAOSpace()
    taken = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    same = [0, 4, *[0] * 18]
    archs = [space.decode([*cell, *[0] * 20]) for cell in ([0] * 20, taken, same)]
    rows = [TableRow(arch, 80.0 + i, 1.0, 1.0) for i, arch in enumerate(archs)]
    report = RankReport([1, 2, 3], rows, rows, space, without=['identity', '4'], num_resamples=2)
    assert report.subsets['without identity']['num'] == report.subsets['without 4']['num'] == 2


def test_view_leaves_out_a_few_bad_ones():
    values = np.linspace(80, 90, 500)
    low, high = rank_report._view(np.append(values, 10.0))
    assert 79 < low < 80 and 90 < high < 91
    low, high = rank_report._view(values)
    assert low == pytest.approx(79.6) and high == pytest.approx(90.4)
    assert rank_report._view(np.ones(3)) == (0.0, 2.0)
