import copy
import math

import pytest
import torch

from cream_mm.costs import Budget, build_cost_model
from cream_mm.methods.cream.prioritized_board import PrioritizedBoard
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

# Cheapest to dearest: each has one more of the big choice.
A = Arch(((0, 0), (0, 0)))
B = Arch(((0, 1), (0, 0)))
C = Arch(((0, 1), (0, 1)))
D = Arch(((1, 1), (0, 1)))
E = Arch(((1, 1), (1, 1)))


def make_board(capacity=3, num_images=2, **kwargs):
    space = tiny_space()
    budget = Budget(build_cost_model(space, 8, 3, 16), **kwargs.pop('bounds', {}))
    return PrioritizedBoard(
        space, budget, image_size=(8, 8), num_classes=3, capacity=capacity,
        num_images=num_images, **kwargs,
    )  # fmt: skip


def offer(board, arch, score, tag=0.0, num=2):
    """Offer a path whose images and soft targets carry a number to know them by."""
    images = torch.full((num, 3, 8, 8), float(tag)) + torch.arange(num).view(-1, 1, 1, 1) / 100
    soft = torch.tensor([[tag, 1.0, 2.0]]).repeat(num, 1)
    return board.offer(arch, score, images, soft)


def contents(board):
    return [(entry.arch, entry.score) for entry in board.entries]


def tags(board):
    """By which number the images and soft targets of each entry are known."""
    length = len(board)
    images = board.images[:length, 0, 0, 0, 0].tolist()
    assert images == board.soft_targets[:length, 0, 0].tolist()
    return images


def test_the_scripted_archs_get_dearer():
    cost = build_cost_model(tiny_space(), 8, 3, 16).cost
    macs = [cost(arch).macs for arch in (A, B, C, D, E)]
    assert macs == sorted(set(macs))


def test_hand_computed_trace():
    board = make_board()
    assert contents(board) == [] and len(board) == 0

    # A board with room takes anything.
    assert offer(board, C, 30.0, tag=1)
    assert offer(board, D, 20.0, tag=2)
    assert offer(board, B, 40.0, tag=3)
    assert contents(board) == [(B, 40.0), (C, 30.0), (D, 20.0)]
    assert tags(board) == [3, 1, 2]

    # Full. E is dearer than the worst (D, 20): it needs more than 25.
    assert not offer(board, E, 20.0, tag=4)
    assert not offer(board, E, 25.0, tag=4)
    assert contents(board) == [(B, 40.0), (C, 30.0), (D, 20.0)]
    assert tags(board) == [3, 1, 2]
    assert offer(board, E, 25.5, tag=5)
    assert contents(board) == [(B, 40.0), (C, 30.0), (E, 25.5)]

    # A is cheaper than the worst (E, 25.5): any better score will do, an equal one will not.
    assert not offer(board, A, 25.5, tag=6)
    assert offer(board, A, 25.75, tag=7)
    assert contents(board) == [(B, 40.0), (C, 30.0), (A, 25.75)]
    assert tags(board) == [3, 1, 7]

    # Nothing is cheaper than A: now D needs 5 points again.
    assert not offer(board, D, 30.5, tag=8)
    assert offer(board, D, 50.0, tag=9)
    assert contents(board) == [(D, 50.0), (B, 40.0), (C, 30.0)]
    assert tags(board) == [9, 3, 1]

    # A path that is there takes its newest score, lower as well, and its newest images.
    assert offer(board, D, 10.0, tag=10)
    assert contents(board) == [(B, 40.0), (C, 30.0), (D, 10.0)]
    assert tags(board) == [3, 1, 10]


def test_ties_go_to_the_cheaper():
    board = make_board(capacity=4)
    for tag, arch in enumerate((C, E, A, D)):
        assert offer(board, arch, 12.5, tag=tag)
    assert [entry.arch for entry in board.entries] == [A, C, D, E]
    assert tags(board) == [2, 0, 3, 1]
    # With equal scores the dearest is the worst: it goes first.
    assert offer(board, B, 12.6)
    assert [entry.arch for entry in board.entries] == [B, A, C, D]


@pytest.mark.parametrize(('gap', 'admitted'), [(5.0, False), (2.0, True), (0.0, True)])
def test_score_gap(gap, admitted):
    board = make_board(capacity=1, score_gap=gap)
    offer(board, A, 50.0)
    assert offer(board, E, 53.0) is admitted
    assert contents(board) == [(E, 53.0) if admitted else (A, 50.0)]


def test_entries_know_their_macs():
    board = make_board()
    offer(board, C, 1.0)
    cost = build_cost_model(tiny_space(), 8, 3, 16).cost(C)
    assert board.entries[0].macs == cost.macs == int(board.macs[0])
    assert C in board and A not in board


def test_keeps_the_first_images_of_a_batch():
    board = make_board(num_images=2)
    images, soft = torch.rand(5, 3, 8, 8), torch.rand(5, 3).softmax(1)
    assert board.offer(A, 1.0, images, soft)
    assert torch.equal(board.images[0], images[:2])
    assert torch.equal(board.soft_targets[0], soft[:2])
    images.zero_()
    assert board.images[0].abs().sum() > 0  # a copy


def test_too_few_images_are_refused():
    board = make_board(num_images=2)
    assert not offer(board, A, 99.0, num=1)
    assert len(board) == 0
    assert offer(board, A, 99.0, num=2)
    assert not offer(board, A, 50.0, num=1)  # not even to renew an entry
    assert contents(board) == [(A, 99.0)]


def test_paths_outside_the_budget_are_refused():
    model = build_cost_model(tiny_space(), 8, 3, 16)
    low, high = (model.cost(arch).macs / 1e6 for arch in (B, D))
    board = make_board(bounds=dict(macs_m=(low, high)))
    assert [offer(board, arch, 50.0) for arch in (A, B, C, D, E)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert [entry.arch for entry in board.entries] == [B, C, D]


@pytest.mark.parametrize('score', [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_an_error(score):
    board = make_board()
    offer(board, A, 1.0)
    with pytest.raises(ValueError, match='not finite'):
        offer(board, B, score)
    assert contents(board) == [(A, 1.0)]


def test_shallow_paths_are_an_error():
    with pytest.raises(ValueError, match='full-depth'):
        offer(make_board(), Arch(((0,), (0, 0))), 1.0)


@pytest.mark.parametrize('wrong', [dict(capacity=0), dict(num_images=0)], ids=str)
def test_impossible_sizes(wrong):
    with pytest.raises(ValueError, match='capacity >= 1 and num_images >= 1'):
        make_board(**wrong)


def test_best_of_a_long_random_sequence():
    """The invariants hold after every offer, whatever came before."""
    generator = torch.Generator().manual_seed(0)
    board = make_board(capacity=4)
    model = build_cost_model(tiny_space(), 8, 3, 16)
    for step in range(200):
        flat = torch.randint(2, (4,), generator=generator).tolist()
        arch = board.space.decode(flat)
        score = float(torch.randint(0, 50, (1,), generator=generator))
        before = contents(board)
        admitted = offer(board, arch, score, tag=step)
        now = contents(board)
        assert len({a for a, _ in now}) == len(now) <= 4
        assert now == sorted(now, key=lambda e: (-e[1], model.cost(e[0]).macs))
        assert ((arch, score) in now and step in tags(board)) if admitted else now == before
    assert len(board) == 4


# --- as state of the model ---


def test_state_dict_round_trip():
    board = make_board()
    for tag, (arch, score) in enumerate([(C, 30.0), (D, 20.0), (B, 40.0)], start=1):
        offer(board, arch, score, tag=tag)
    fresh = make_board()
    assert fresh.entries == []  # what was read before loading must not stay
    fresh.load_state_dict(copy.deepcopy(board.state_dict()))
    assert fresh.entries == board.entries
    assert contents(fresh) == [(B, 40.0), (C, 30.0), (D, 20.0)]
    assert torch.equal(fresh.images, board.images)
    assert torch.equal(fresh.soft_targets, board.soft_targets)
    # It goes on where the other one stopped.
    for one in (board, fresh):
        offer(one, A, 35.0, tag=4)
    assert contents(fresh) == contents(board) == [(B, 40.0), (A, 35.0), (C, 30.0)]
    assert tags(fresh) == [3, 4, 1]


def test_scores_keep_every_bit():
    board, fresh = make_board(), make_board()
    score = 100 * 7 / 96
    offer(board, A, score)
    fresh.load_state_dict(board.state_dict())
    assert fresh.entries[0].score == score
    assert fresh.entries[0].macs == board.entries[0].macs


def test_a_half_full_board_survives():
    board, fresh = make_board(), make_board()
    offer(board, E, 3.0)
    for arch in (A, B, C):
        offer(fresh, arch, 90.0)
    fresh.load_state_dict(board.state_dict())
    assert contents(fresh) == [(E, 3.0)]


def test_loads_inside_a_larger_model():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.board = make_board()

    one, two = Model(), Model()
    offer(one.board, B, 7.0, tag=2)
    assert len(two.board) == 0
    two.load_state_dict(one.state_dict())
    assert contents(two.board) == [(B, 7.0)] and tags(two.board) == [2]


def test_a_deep_copy_has_entries_of_its_own():
    board = make_board()
    offer(board, A, 1.0)
    twin = copy.deepcopy(board)
    offer(twin, B, 2.0)
    assert contents(board) == [(A, 1.0)]
    assert contents(twin) == [(B, 2.0), (A, 1.0)]


def test_buffers_have_the_documented_shapes():
    space = MBConvSpace()
    board = PrioritizedBoard(
        space, Budget(build_cost_model(space, 224)), image_size=(4, 6), num_classes=7, capacity=2,
        num_images=5,
    )  # fmt: skip
    shapes = {name: tuple(buffer.shape) for name, buffer in board.state_dict().items()}
    assert shapes == dict(
        length=(), scores=(2,), macs=(2,), archs=(2, 20), images=(2, 5, 3, 4, 6),
        soft_targets=(2, 5, 7),
    )  # fmt: skip
    assert not list(board.parameters())
