from collections import Counter

import pytest
import torch

from cream_mm.methods.cream.simple_matching import NearestMatching, RandomMatching
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

TEACHERS = [Arch(((0, 0), (0, 1))), Arch(((1, 1), (0, 0))), Arch(((0, 1), (1, 1)))]


def test_random_draws_all_entries_alike_and_again_from_the_same_seed():
    matching, features = RandomMatching(6), torch.zeros(4, 6)
    draws = []
    for _ in range(2):
        torch.manual_seed(0)
        draws.append([matching(features)[0] for _ in range(4000)])
    assert draws[0] == draws[1]
    assert all(900 < n < 1100 for n in Counter(draws[0]).values())
    assert matching(features)[1] == 0.5


def test_nearest_is_the_smallest_difference():
    features = torch.tensor([[3.0, 0.0], [1.0, -1.0], [0.0, 1.5]])
    index, rate = NearestMatching(2, rate=0.3)(features)
    assert index == 1 and rate == pytest.approx(0.3)


@pytest.mark.parametrize('kind', ['RandomMatching', 'NearestMatching'])
def test_the_teacher_of_a_step(kind):
    torch.manual_seed(0)
    model = tiny_cream(matching=dict(type=f'cream_mm.{kind}')).train()
    for i, arch in enumerate(TEACHERS):
        model.board.offer(arch, 50.0 - i, torch.randn(2, 3, 8, 8), torch.rand(2, 3).softmax(1))
    torch.manual_seed(1)
    match = model.pick_teacher()
    torch.manual_seed(1)
    expected, rate = model.matching(model.matching_features())
    assert match == (TEACHERS[expected], rate)
    losses = model.loss(torch.randn(6, 3, 8, 8), tiny_samples([0, 1, 2, 0, 1, 2]))
    assert losses['matching_rate'] == 0.5 and losses['loss_kd'] > 0
    assert not list(model.matching.parameters())
