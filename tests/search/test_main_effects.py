"""Main effects against closed forms, brute force, and simulated noise."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from cream_mm.search import MainEffects
from cream_mm.structures import Arch


def random_paths(number, seed=0, choices=3):
    rng = np.random.default_rng(seed)
    flat = rng.integers(choices, size=(number, 5))
    return [Arch((tuple(row[:2]), tuple(row[2:])), 'any') for row in flat], flat


def test_an_additive_score_is_kept():
    archs, flat = random_paths(60)
    truth = np.random.default_rng(1).normal(size=(5, 3))
    scores = 70 + truth[np.arange(5), flat].sum(axis=1)
    fit = MainEffects(archs, scores)
    assert np.allclose(fit.predict(archs), scores, atol=1e-3)
    effects = fit.effects()
    centred = truth - truth.mean(axis=1, keepdims=True)
    places = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    for layer, place in enumerate(places):
        assert [effects[(*place, c)] for c in range(3)] == pytest.approx(centred[layer], abs=1e-3)
    # Paths that were not fitted get the sum too.
    others, flat = random_paths(40, seed=2)
    assert np.allclose(fit.predict(others), 70 + truth[np.arange(5), flat].sum(axis=1), atol=1e-3)


def test_leave_one_out_error_is_that_of_refitting():
    archs, _ = random_paths(25)
    scores = np.random.default_rng(3).normal(size=25)
    fit = MainEffects(archs, scores)
    x = fit._features(archs)
    errors = []
    for i in range(25):
        keep = np.arange(25) != i
        mean_x, mean_y = x[keep].mean(axis=0), scores[keep].mean()
        c = x[keep] - mean_x
        w = np.linalg.solve(
            c.T @ c + fit.penalty * np.eye(x.shape[1]), c.T @ (scores[keep] - mean_y)
        )
        errors.append(scores[i] - mean_y - (x[i] - mean_x) @ w)
    assert fit.loo_error == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-9)


def test_noise_is_taken_out_of_the_ranking():
    archs, flat = random_paths(200)
    truth = np.random.default_rng(4).normal(size=(5, 3))[np.arange(5), flat].sum(axis=1)
    noisy = truth + np.random.default_rng(5).normal(scale=1.5 * truth.std(), size=200)
    raw, smoothed = (
        kendalltau(s, truth)[0] for s in (noisy, MainEffects(archs, noisy).predict(archs))
    )
    assert raw < 0.5 and smoothed > 0.75


def test_chance_alone_gives_small_effects():
    archs, _ = random_paths(30)
    scores = np.random.default_rng(6).normal(size=30)
    assert np.ptp(MainEffects(archs, scores).predict(archs)) < 0.5 * np.ptp(scores)


def test_depth_counts_as_a_choice():
    archs = [
        Arch(stages, 'any')
        for stages in (((0,), (1,)), ((0, 0), (1,)), ((0,), (1, 1)), ((0, 0), (1, 1)))
    ]
    scores = [1.0, 2.0, 4.0, 5.0]
    assert MainEffects(archs, scores).predict(archs) == pytest.approx(scores, abs=1e-2)


@pytest.mark.parametrize('number', [0, 1])
def test_too_few_paths(number):
    archs, _ = random_paths(number)
    with pytest.raises(ValueError, match='2 or more scored paths'):
        MainEffects(archs, [1.0] * number)


def test_effects_are_shrunk_towards_known_ones():
    """Leave-one-out equals refitting, and few paths do where what is known is right."""
    archs, flat = random_paths(14)
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(5, 3))
    places = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    known = {(*p, c): truth[i, c] for i, p in enumerate(places) for c in range(3)}
    other = {key: float(rng.normal()) for key in known}
    scores = 3 * truth[np.arange(5), flat].sum(axis=1) + rng.normal(scale=0.5, size=14)
    fit = MainEffects(archs, scores, along=[known, other])
    x, keys = fit._features(archs), sorted(known)
    d = np.array([[effects[key] for key in keys] for effects in (known, other)]).T
    errors = []
    for i in range(14):
        keep = np.arange(14) != i
        mean_x, mean_y = x[keep].mean(axis=0), scores[keep].mean()
        # Columns of the known directions, unpenalised, beside those of the choices.
        c = np.hstack([x[keep] - mean_x, (x[keep] - mean_x) @ d])
        penalty = np.diag([fit.penalty] * len(keys) + [0.0] * 2)
        w = np.linalg.solve(c.T @ c + penalty, c.T @ (scores[keep] - mean_y))
        errors.append(scores[i] - mean_y - np.append(x[i] - mean_x, (x[i] - mean_x) @ d) @ w)
    assert fit.loo_error == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
    others = np.array([np.delete(scores, i).mean() for i in range(14)])
    assert fit.loo_r2 == pytest.approx(
        1 - np.sum(np.square(errors)) / np.sum((scores - others) ** 2)
    )
    assert fit.factors[0] == pytest.approx(3, abs=0.5)
    assert 2 * fit.loo_error < MainEffects(archs, scores).loo_error
    # Of a choice that no path has, the known effect is what there is.
    few = [arch for arch in archs if arch.stages[0][0] != 2]
    some = MainEffects(few, [scores[archs.index(arch)] for arch in few], along=[known])
    assert some.weight((1, 0, 2)) == pytest.approx(some.factors[0] * known[1, 0, 2])
    assert (
        some.num_effects == 14 and MainEffects(few, scores[: len(few)]).weight((1, 0, 2)) == -np.inf
    )
