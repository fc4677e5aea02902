"""The contract of a supernet."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...structures import Arch


class SupernetContract:
    """Subclasses give a fixture ``supernet``: a fresh one, on which a test may do as it likes.

    Attributes:
        image_shape (tuple[int, int, int]): What it takes. Defaults to (3, 16, 16).
    """

    image_shape = (3, 16, 16)

    @pytest.fixture
    def supernet(self) -> nn.Module:
        """The supernet to test."""
        raise NotImplementedError

    @pytest.fixture
    def archs(self, supernet) -> list[Arch]:
        """Some paths: the first choices everywhere, the last ones, and drawn ones."""
        space, rng = supernet.space, np.random.default_rng(0)
        ends = [space.decode([0] * len(space.sizes)), space.decode([n - 1 for n in space.sizes])]
        return [*ends, *(space.sample(rng) for _ in range(4))]

    @pytest.fixture
    def images(self) -> torch.Tensor:
        """(4, *image_shape)."""
        return torch.randn(4, *self.image_shape, generator=torch.Generator().manual_seed(0))

    def used(self, supernet, arch, images) -> dict[str, torch.Tensor]:
        """Gradients of the parameters that have one after a backward pass of a path."""
        supernet.zero_grad(set_to_none=True)
        supernet.train()
        with supernet.using(arch):
            sum(out.square().mean() for out in supernet(images)).backward()
        named = supernet.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def test_runs_the_path_that_was_set(self, supernet, archs, images):
        supernet.eval()
        for arch in archs:
            supernet.set_arch(arch)
            assert supernet.arch == arch
            with torch.no_grad():
                outs = supernet(images)
                assert isinstance(outs, tuple) and all(len(out) == len(images) for out in outs)
                assert all(torch.equal(a, b) for a, b in zip(outs, supernet(images)))

    def test_refuses_what_is_no_path(self, supernet, archs):
        supernet.set_arch(archs[0])
        with pytest.raises(ValueError, match='belongs to space'):
            supernet.set_arch(Arch(archs[1].stages, 'no such space'))
        flat = supernet.space.encode(archs[1])
        with pytest.raises(ValueError, match='choice'):
            supernet.set_arch(supernet.space.decode([supernet.space.sizes[0], *flat[1:]]))
        assert supernet.arch == archs[0]  # as before

    def test_using_is_for_a_moment(self, supernet, archs, images):
        supernet.eval()
        supernet.set_arch(archs[0])
        with torch.no_grad():
            before = supernet(images)[-1]
            with supernet.using(archs[1]):
                assert supernet.arch == archs[1]
                with supernet.using(archs[2]):
                    assert supernet.arch == archs[2]
                assert supernet.arch == archs[1]
            assert supernet.arch == archs[0] and torch.equal(supernet(images)[-1], before)
        with pytest.raises(RuntimeError, match='stop'), supernet.using(archs[1]):
            raise RuntimeError('stop')
        assert supernet.arch == archs[0]

    def test_gradients_are_those_of_the_path_alone(self, supernet, archs, images):
        for arch in archs:
            gradients = self.used(supernet, arch, images)
            with supernet.using(arch):
                on_path = {id(p) for module in supernet.path_modules()
                           for p in module.parameters(recurse=False)}  # fmt: skip
            names = {name for name, p in supernet.named_parameters() if id(p) in on_path}
            assert set(gradients) == names

    def test_statistics_are_those_of_the_path_alone(self, supernet, archs, images):
        supernet.train()
        norms = [m for m in supernet.modules() if isinstance(m, _BatchNorm)]
        for arch in archs:
            before = [m.running_mean.clone() for m in norms]
            with supernet.using(arch), torch.no_grad():
                on_path = {id(module) for module in supernet.path_modules()}
                supernet(images)
            changed = [not torch.equal(m.running_mean, old) for m, old in zip(norms, before)]
            assert changed == [id(m) in on_path for m in norms]

    def test_the_exported_network_is_the_path(self, supernet, archs, images):
        supernet.train()
        with torch.no_grad():
            for arch in archs:  # statistics that tell the paths apart
                with supernet.using(arch):
                    supernet(images)
        supernet.eval()
        for arch in archs:
            before = {name: value.clone() for name, value in supernet.state_dict().items()}
            net = supernet.export(arch).eval()
            with supernet.using(arch), torch.no_grad():
                assert all(torch.equal(a, b) for a, b in zip(net(images), supernet(images)))
            with torch.no_grad():
                for value in net.parameters():
                    value.zero_()
            after = supernet.state_dict()  # its weights are its own
            assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_weights_come_back(self, supernet, archs, images):
        supernet.eval()
        state = {name: value.clone() for name, value in supernet.state_dict().items()}
        with supernet.using(archs[1]), torch.no_grad():
            before = supernet(images)[-1]
            for value in supernet.parameters():
                value.zero_()
            supernet.load_state_dict(state)
            assert torch.equal(supernet(images)[-1], before)
