import itertools
import math

import numpy as np
import pytest

from cream_mm.evaluation import compare, correlation, regret, top_k_precision
from cream_mm.evaluation.rank_correlation import best_first, precisions


def tau_b(x, y):
    """Every pair by hand."""
    concordant = discordant = only_x = only_y = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y), 2):
        sign = np.sign(a - c) * np.sign(b - d)
        concordant += sign > 0
        discordant += sign < 0
        only_x += a != c and b == d  # tied in y
        only_y += a == c and b != d
    total = concordant + discordant
    return (concordant - discordant) / math.sqrt((total + only_x) * (total + only_y))


def pearson(x, y):
    x, y = x - np.mean(x), y - np.mean(y)
    return (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())


def ranks(x):
    """Mean rank of ties."""
    return np.array([np.sum(x < v) + (np.sum(x == v) + 1) / 2 for v in x])


@pytest.mark.parametrize('levels', [3, 10, 10**6])
def test_coefficients_equal_their_definitions(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=60).astype(float)
    y = x / levels + rng.integers(levels, size=60) / levels
    found = correlation(x, y)
    assert found['kendall'] == pytest.approx(tau_b(x, y), abs=1e-12)
    assert found['spearman'] == pytest.approx(pearson(ranks(x), ranks(y)), abs=1e-12)
    assert found['pearson'] == pytest.approx(pearson(x, y), abs=1e-12)


def test_coefficients_of_four_points():
    """5 of 6 pairs agree; ranks differ by 0, 1, 1, 0: rho = 1 - 6 * 2 / (4 * 15)."""
    found = correlation(np.array([1.0, 2, 3, 4]), np.array([10.0, 30, 20, 40]))
    assert found == pytest.approx(dict(kendall=4 / 6, spearman=0.8, pearson=0.8))


def test_a_constant_correlates_with_nothing():
    found = correlation(np.ones(5), np.arange(5.0))
    assert all(math.isnan(value) for value in found.values())
    result = compare(dict(score=np.ones(5)), np.arange(5.0), num_resamples=5)
    assert result['score']['kendall'] == dict(value=None, interval=None)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Bivariate normal with correlation r: tau = 2/pi asin r, whatever the sample."""
    r, n, covered = 0.6, 40, dict(kendall=0, pearson=0)
    truth = dict(kendall=2 / math.pi * math.asin(r), pearson=r)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=n)
        y = r * x + math.sqrt(1 - r * r) * rng.normal(size=n)
        found = compare(dict(score=x), y, num_resamples=100, seed=seed)['score']
        for name in covered:
            low, high = found[name]['interval']
            covered[name] += low <= truth[name] <= high
    assert all(51 <= count <= 60 for count in covered.values()), covered  # 57 expected


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    flops = truth + rng.normal(size=200)
    score = flops + 0.05 * rng.normal(size=200)  # nearly the same order
    found = compare(dict(score=score, macs=flops), truth, baselines=['macs'], num_resamples=200)
    difference = found['score']['kendall_minus_macs']
    assert difference['value'] == pytest.approx(
        found['score']['kendall']['value'] - found['macs']['kendall']['value']
    )
    low, high = difference['interval']
    one = found['score']['kendall']['interval']
    assert low < difference['value'] < high
    assert high - low < 0.3 * (one[1] - one[0])  # unpaired it would be 1.4 times as wide
    assert 'kendall_minus_macs' not in found['macs']


def test_the_seed_decides():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30))
    results = [compare(dict(s=x), y, num_resamples=50, seed=seed) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]


TRUTH = np.array([70.0, 75, 74, 80, 72])
SCORES = np.array([10.0, 20, 30, 20, 5])
MACS = np.array([1.0, 2, 3, 4, 2])


def test_order_and_top_k_by_hand():
    assert best_first(SCORES, MACS).tolist() == [2, 1, 3, 0, 4]  # 1 and 3 tie, 1 is cheaper
    # Truly best: 3, 1, 2.
    precision = [top_k_precision(SCORES, TRUTH, MACS, k) for k in (1, 2, 3, 5)]
    assert precision == [0.0, 0.5, 1.0, 1.0]


def test_precision_at_the_bottom_by_hand():
    # Truly worst: 0, then 4, 2; scored worst: 4, 0, 3.
    precision = [top_k_precision(SCORES, TRUTH, MACS, k, bottom=True) for k in (1, 2, 3, 5)]
    assert precision == [0.0, 1.0, 2 / 3, 1.0]


def test_precision_at_shares():
    rng = np.random.default_rng(0)
    truth = rng.permutation(1990).astype(float)
    scores = truth + rng.normal(0, 200, 1990)
    found = precisions(scores, truth, np.zeros(1990))
    # 0.1 % of 1990 is one network, 0.5 % nine: rounded down.
    ks = {'0.1': 1, '0.5': 9, '1': 19, '5': 99, '10': 199, '50': 995}
    assert list(found['top']) == list(found['bottom']) == list(ks)
    for name, k in ks.items():
        best, chosen = set(np.argsort(truth)[-k:]), set(np.argsort(scores)[-k:])
        assert found['top'][name] == len(best & chosen) / k
        worst, chosen = set(np.argsort(truth)[:k]), set(np.argsort(scores)[:k])
        assert found['bottom'][name] == len(worst & chosen) / k
    few = precisions(scores[:50], truth[:50], np.zeros(50))
    assert list(few['top']) == ['5', '10', '50']


def test_regret_by_hand():
    table_truth, table_macs = np.append(TRUTH, [78.0, 90.0]), np.append(MACS, [3.0, 9.0])
    found = regret(SCORES, TRUTH, MACS, table_truth, table_macs, 3.0)
    assert found == dict(regret=4.0, picked=74.0, picked_macs_m=3.0, best=78.0, best_scored=75.0)
    found = regret(SCORES, TRUTH, MACS, table_truth, table_macs, 2.0)
    assert found['regret'] == 0.0 and found['picked'] == 75.0
    assert regret(SCORES, TRUTH, MACS, table_truth, table_macs, 0.5) is None
