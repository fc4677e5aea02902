"""The contract of a supernet."""

import itertools

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...evaluation.shared_prefix import SharedPrefix
from ...models.layers.bn_policy import batch_stats, recalibrated
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
    def chain(self) -> nn.Module:
        """One that returns its last feature map alone, for :meth:`path_layers`; a chain."""
        pytest.skip('not a chain')

    @pytest.fixture
    def archs(self, supernet: BaseModule) -> list[Arch]:
        """Some paths: the first choices everywhere, the last ones, and drawn ones."""
        space, rng = supernet.space, np.random.default_rng(0)
        ends = [space.decode([0] * len(space.sizes)), space.decode([n - 1 for n in space.sizes])]
        return [*ends, *(space.sample(rng) for _ in range(4))]

    @pytest.fixture
    def images(self) -> Tensor:
        """(4, *image_shape)."""
        return torch.randn(4, *self.image_shape, generator=torch.Generator().manual_seed(0))

    def given(self, supernet: BaseModule, arch: Arch, images: Tensor) -> Tensor:
        """What the network of a path is given where the supernet is given these images."""
        return images

    def used(self, supernet: BaseModule, arch: Arch, images: Tensor) -> dict[str, Tensor]:
        """Gradients of the parameters that have one after a backward pass of a path."""
        supernet.zero_grad(set_to_none=True)
        supernet.train()
        with supernet.using(arch):
            sum(out.square().mean() for out in supernet(images)).backward()
        named = supernet.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    def test_runs_the_path_that_was_set(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        supernet.eval()
        for arch in archs:
            supernet.set_arch(arch)
            assert supernet.arch == arch
            with torch.no_grad():
                outs = supernet(images)
                assert isinstance(outs, tuple) and all(len(out) == len(images) for out in outs)
                assert all(torch.equal(a, b) for a, b in zip(outs, supernet(images)))

    def test_refuses_what_is_no_path(self, supernet: BaseModule, archs: list[Arch]) -> None:
        supernet.set_arch(archs[0])
        with pytest.raises(ValueError, match='belongs to space'):
            supernet.set_arch(Arch(archs[1].stages, 'no such space'))
        flat = supernet.space.encode(archs[1])
        with pytest.raises(ValueError, match='choice'):
            supernet.set_arch(supernet.space.decode([supernet.space.sizes[0], *flat[1:]]))
        assert supernet.arch == archs[0]  # as before

    def test_using_is_for_a_moment(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
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

    def test_gradients_are_those_of_the_path_alone(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        for arch in archs:
            gradients = self.used(supernet, arch, images)
            with supernet.using(arch):
                on_path = supernet.path_parameters()
            assert set(gradients) == set(on_path)
            named = dict(supernet.named_parameters())
            assert all(param is named[name] for name, param in on_path.items())

    def test_statistics_are_those_of_the_path_alone(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        supernet.train()
        norms = [m for m in supernet.modules() if isinstance(m, _BatchNorm)]
        for arch in archs:
            before = [m.running_mean.clone() for m in norms]
            with supernet.using(arch), torch.no_grad():
                on_path = {id(module) for module in supernet.path_modules()}
                supernet(images)
            changed = [not torch.equal(m.running_mean, old) for m, old in zip(norms, before)]
            assert changed == [id(m) in on_path for m in norms]

    def test_the_exported_network_is_the_path(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        if not supernet.weights_travel:
            pytest.skip("a path's weights mean nothing in a network of their own")
        supernet.train()
        with torch.no_grad():
            for arch in archs:  # statistics that tell the paths apart
                with supernet.using(arch):
                    supernet(images)
        supernet.eval()
        for arch in archs:
            before = {name: value.clone() for name, value in supernet.state_dict().items()}
            net = supernet.export(arch).eval()
            x = self.given(supernet, arch, images)
            with supernet.using(arch), torch.no_grad():
                assert all(torch.equal(a, b) for a, b in zip(net(x), supernet(images)))
            with torch.no_grad():
                for value in net.parameters():
                    value.zero_()
            after = supernet.state_dict()  # its weights are its own
            assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_is_fitted_as_the_exported_network(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        """Batch norm of a path that is rated: at each position as in a network of its own."""
        if not supernet.weights_travel:
            pytest.skip("a path's weights mean nothing in a network of their own")
        supernet.eval()
        fit = list((images + 1).split(2))

        def run(net: nn.Module, modules: list, x: Tensor, fit: list) -> tuple[Tensor, ...]:
            with torch.no_grad(), recalibrated(modules, lambda: [net(x) for x in fit], net):
                return net(x)

        for arch in archs:
            with supernet.using(arch):
                outs = run(supernet, list(supernet.path_modules()), images, fit)
            net = supernet.export(arch).eval()
            x, *its_fit = (self.given(supernet, arch, x) for x in (images, *fit))
            for ours, theirs in zip(outs, run(net, list(net.modules()), x, its_fit), strict=True):
                torch.testing.assert_close(ours, theirs)

    def test_weights_come_back(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        supernet.eval()
        state = {name: value.clone() for name, value in supernet.state_dict().items()}
        with supernet.using(archs[1]), torch.no_grad():
            before = supernet(images)[-1]
            for value in supernet.parameters():
                value.zero_()
            supernet.load_state_dict(state)
            assert torch.equal(supernet(images)[-1], before)

    def test_weights_of_a_path_are_cut_out(
        self, supernet: BaseModule, archs: list[Arch], images: Tensor
    ) -> None:
        if not supernet.weights_travel:
            pytest.skip("a path's weights mean nothing alone")
        supernet.eval()
        for arch in archs:
            net = supernet.export(arch).eval()
            weights = net.state_dict()
            whole = {f'backbone.{k}': v for k, v in supernet.state_dict().items()}
            whole['head.fc.weight'] = torch.ones(2)
            cut = supernet.cut(whole, arch)
            assert torch.equal(cut.pop('head.fc.weight'), torch.ones(2))
            assert set(cut) == {f'backbone.{name}' for name in weights}
            assert all(torch.equal(cut[f'backbone.{k}'], v) for k, v in weights.items())
            again = supernet.cut(supernet.state_dict(), arch, prefix='')
            assert set(again) == set(weights)

    def test_has_a_budget(self, chain: BaseModule) -> None:
        arch = chain.space.decode([0] * len(chain.space.sizes))
        assert chain.budget.cost_model.space == chain.space
        assert chain.budget.is_feasible(arch) in (True, False)

    def test_layers_one_by_one_are_the_path(self, chain: BaseModule, images: Tensor) -> None:
        chain.eval()
        rng = np.random.default_rng(1)
        for arch in (chain.space.sample(rng) for _ in range(4)):
            layers, x = chain.path_layers(arch), images
            with torch.no_grad(), chain.using(arch):
                for layer in layers:
                    x = layer.run(x)
                assert torch.equal(x, chain(images)[-1])
            with chain.using(arch):
                on_path = {id(m) for m in chain.path_modules() if isinstance(m, _BatchNorm)}
            listed = [m for layer in layers for m in layer.norms if isinstance(m, _BatchNorm)]
            assert {id(m) for m in listed} == on_path and len(listed) == len(on_path)

    def test_equal_keys_are_equal_layers(self, chain: BaseModule, images: Tensor) -> None:
        chain.eval()
        rng = np.random.default_rng(2)
        paths = [chain.path_layers(chain.space.sample(rng)) for _ in range(8)]
        shared = 0
        for one, other in itertools.combinations(paths, 2):
            x = images
            for a, b in zip(one, other):
                with torch.no_grad():
                    if a.key != b.key:
                        break
                    outs = a.run(x), b.run(x)
                assert torch.equal(*outs)
                x, shared = outs[0], shared + 1
        assert shared > len(paths)

    @pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
    def test_sharing_first_layers_changes_no_bit(
        self, chain: BaseModule, images: Tensor, policy: str
    ) -> None:
        chain.eval()
        space, rng = chain.space, np.random.default_rng(3)
        archs = sorted((space.sample(rng) for _ in range(10)), key=lambda arch: arch.stages)
        halves = list(images.split(2))
        fit = [x + 1 for x in halves] if policy == 'recalibrate' else None
        with torch.no_grad():
            shared = SharedPrefix([chain.path_layers(a) for a in archs], halves, fit, 2**30)
            found = [shared[i] for i in range(len(archs))]
            assert shared.layers_run < shared.layers_asked
            for arch, maps in zip(archs, found):
                with chain.using(arch):
                    modules = list(chain.path_modules())
                    fitted = recalibrated(modules, lambda: [chain(x) for x in fit])
                    with batch_stats(modules) if fit is None else fitted:
                        alone = [chain(x)[-1] for x in halves]
                assert all(torch.equal(a, b) for a, b in zip(maps, alone))
