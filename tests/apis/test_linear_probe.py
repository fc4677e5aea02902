"""A linear classifier of features: at the optimum, and with the decay that images chose."""

import pytest
import torch
import torch.nn.functional as F

from cream_mm.apis.linear_probe import DECAYS, fit_linear, probe


@pytest.fixture
def clouds():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    centres = torch.tensor([[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]], dtype=torch.float64)
    x = centres[labels] + torch.randn(300, 2, generator=rng, dtype=torch.float64)
    return x, labels


def test_the_gradient_is_zero(clouds):
    x, labels = clouds
    linear = fit_linear(x, labels, 3, decay=0.01)
    loss = F.cross_entropy(linear(x), labels) + 0.005 * linear.weight.square().sum()
    for gradient in torch.autograd.grad(loss, list(linear.parameters())):
        assert gradient.abs().max() < 1e-5


def test_features_may_have_any_scale(clouds):
    x, labels = clouds
    scale, shift = torch.tensor([1e3, 1e-3]), torch.tensor([5e3, -1.0])
    one, decay = probe(x, labels, 3)
    other, same = probe(x * scale + shift, labels, 3)
    assert decay == same and decay in DECAYS
    with torch.no_grad():
        torch.testing.assert_close(other(x * scale + shift), one(x), rtol=1e-3, atol=1e-3)
        assert (one(x).argmax(1) == labels).double().mean() > 0.95
