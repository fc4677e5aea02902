"""What rating many paths at once has to be: what rating each alone is."""

import itertools

import pytest
import torch
from mmengine.model import BaseModel

from ...evaluation import ArchEvaluator
from ..tiny import tiny_samples


class RatingContract:
    """Ratings of the paths of a model around a supernet, whatever its modules share.

    A subclass gives the fixture ``model``: a classifier of three classes with single labels, for
    images of 3 x 8 x 8.
    """

    @pytest.fixture
    def evaluators(self, model: BaseModel, request: pytest.FixtureRequest) -> list[ArchEvaluator]:
        """One that may share what paths have in common, and one that has no memory for it."""
        policy = getattr(request, 'param', 'recalibrate')
        return [
            ArchEvaluator(model, _images(10, 0), _images(9, 1), bn_policy=policy, batch_size=4,
                          max_gb=max_gb)
            for max_gb in (1, 0)
        ]  # fmt: skip

    @pytest.mark.parametrize('evaluators', ['recalibrate', 'batch_stats'], indirect=True)
    def test_many_at_once_are_each_alone(
        self, model: BaseModel, evaluators: list[ArchEvaluator]
    ) -> None:
        shared, alone = evaluators
        space = model.backbone.space
        archs = [space.decode(list(flat)) for flat in itertools.product(*map(range, space.sizes))][
            :40
        ]
        ratings = shared.rate_all(archs, lambda *_: None)
        assert len({rating.loss for rating in ratings}) > len(archs) / 2  # paths differ
        assert ratings == alone.rate_all(archs, lambda *_: None)
        assert ratings[::5] == [shared.rate(arch) for arch in archs[::5]]

    def test_the_order_does_not_matter(
        self, model: BaseModel, evaluators: list[ArchEvaluator]
    ) -> None:
        space = model.backbone.space
        last = [size - 1 for size in space.sizes]
        archs = [space.decode(flat) for flat in (last, [0] * len(last))]
        ratings = evaluators[0].rate_all(archs, lambda *_: None)
        assert evaluators[0].rate_all(archs[::-1], lambda *_: None) == ratings[::-1]

    def test_the_model_is_left_as_it_was(
        self, model: BaseModel, evaluators: list[ArchEvaluator]
    ) -> None:
        model.train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        arch, path = model.backbone.arch, model.backbone.space.decode
        evaluators[0].rate_all([path([0] * len(model.backbone.space.sizes))], lambda *_: None)
        assert model.training and model.backbone.arch == arch
        after = model.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())


def _images(count: int, seed: int) -> list[dict]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    samples = tiny_samples([i % 3 for i in range(count)])
    return [dict(inputs=x, data_samples=s) for x, s in zip(images, samples)]
