"""Times of layers from times of networks: what adds up is found, what does not is told."""

import itertools

import numpy as np
import pytest

from cream_mm.costs.latency_fit import fit_latency

# Two layers whose three choices have names of their own, and one that has the first one's.
TRUE = dict(a=1.0, b=2.0, c=4.0, d=0.5, e=1.5, f=0.0)
FIRST, SECOND = 'abc', 'def'
NETWORKS = [[p, q, r] for p, q, r in itertools.product(FIRST, SECOND, FIRST)]


def times(networks, fixed=3.0):
    return [fixed + sum(TRUE[layer] for layer in network) for network in networks]


def test_sums_are_found_again_and_the_own_times_share_out_what_sums_do_not_tell():
    fit = fit_latency(NETWORKS, times(NETWORKS), TRUE)
    assert fit.fixed_ms == pytest.approx(3.0, abs=0.02)
    assert fit.layers_ms == pytest.approx(TRUE, abs=0.02)
    assert fit.error_pct < 0.1
    assert [fit.predict(n) for n in NETWORKS] == pytest.approx(times(NETWORKS), rel=1e-3)


def test_differences_are_those_of_the_networks_whatever_layers_take_alone():
    alone = dict(TRUE, a=2.5, d=2.0)  # a session of its own costs more than the layer
    fit = fit_latency(NETWORKS, times(NETWORKS), alone)
    layers = fit.layers_ms
    assert layers['b'] - layers['a'] == pytest.approx(1.0, abs=0.05)
    assert layers['c'] - layers['b'] == pytest.approx(2.0, abs=0.05)
    assert layers['e'] - layers['d'] == pytest.approx(1.0, abs=0.05)
    assert min(layers.values()) >= 0


def test_a_layer_that_no_network_has_takes_its_own_time_by_the_common_factor():
    half = {name: time / 2 for name, time in TRUE.items()}  # in a network twice the time
    fit = fit_latency(NETWORKS, times(NETWORKS), dict(half, g=3.0))
    assert fit.layers_ms['g'] == pytest.approx(6.0, rel=0.01)


def test_half_widths_are_of_the_size_of_the_noise():
    rng = np.random.default_rng(0)
    noisy = np.array(times(NETWORKS)) * (1 + 0.02 * rng.standard_normal(len(NETWORKS)))
    fit, exact = (fit_latency(NETWORKS, t, TRUE) for t in (noisy, times(NETWORKS)))
    assert all(exact.error_ms[name] < 0.03 for name in TRUE)
    # 54 networks of some 8 ms, each layer in a third of them: 2 % of 8 ms over the root of 18.
    assert 0.02 < fit.error_ms['c'] < 0.4
    assert 1.0 < fit.error_pct < 3.0


def test_networks_that_were_disturbed_are_left_out():
    disturbed = times(NETWORKS)
    disturbed[4] *= 1.5
    disturbed[20] *= 0.6
    fit = fit_latency(NETWORKS, disturbed, TRUE)
    assert fit.left_out == [4, 20]
    assert fit.layers_ms == pytest.approx(TRUE, abs=0.02)
    assert fit_latency(NETWORKS, times(NETWORKS), TRUE).left_out == []


def test_what_no_fit_can_be_made_of_is_refused():
    with pytest.raises(ValueError, match='at least 8 networks; got 3'):
        fit_latency(NETWORKS[:3], times(NETWORKS[:3]), TRUE)
    with pytest.raises(ValueError, match='not milliseconds'):
        fit_latency(NETWORKS, [0.0, *times(NETWORKS)[1:]], TRUE)
    with pytest.raises(ValueError, match=r"no time alone of \['f'\]"):
        fit_latency(NETWORKS, times(NETWORKS), {k: v for k, v in TRUE.items() if k != 'f'})
