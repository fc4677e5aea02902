"""One script of offers, followed by hand through the board of each mode of Compat.

The choices are (kernel 3, expansion 6) and (kernel 7, expansion 4): of these some pairs of paths
are ordered one way by MACs and the other way by the released code's FLOPs.
"""

import pytest
import torch

from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_space

SPACE = tiny_space(choices=((3, 6), (7, 4)))

#           path                            MACs    board FLOPs
PATHS = dict(
    A=(Arch(((0, 0), (0, 0))), 371_120, 413_688),  # outside the budget
    B=(Arch(((1, 0), (0, 0))), 375_984, 415_704),
    C=(Arch(((0, 0), (0, 1))), 381_872, 420_520),
    P=(Arch(((0, 0), (1, 0))), 384_432, 424_392),  # P and Q, R and S: the first is cheaper by
    Q=(Arch(((1, 0), (0, 1))), 386_736, 422_536),  # MACs, the second by board FLOPs
    R=(Arch(((0, 1), (0, 0))), 388_528, 428_488),
    S=(Arch(((1, 0), (1, 0))), 389_296, 426_408),
    D=(Arch(((1, 1), (0, 0))), 393_392, 430_504),
    E=(Arch(((0, 0), (1, 1))), 395_184, 431_224),
    Z=(Arch(((1, 1), (1, 1))), 417_456, 448_040),
)  # fmt: skip
NAMES = {arch: name for name, (arch, *_) in PATHS.items()}
BUDGET = dict(macs_m=(0.375, None))

# Three places, a gap of 5 points. Entries are written name, score; for paths that are offered more
# than once also the number of the offer whose images and soft targets they hold.
SCRIPT = [('D', 50), ('E', 40), ('R', 30), ('S', 32), ('Q', 32), ('Z', 37), ('Z', 37.5), ('C', 40),
          ('P', 40), ('B', 42), ('D', 45), ('A', 60), ('E', 48), ('D', 45), ('D', 51)]  # fmt: skip
EXPECTED = dict(
    official=[
        'D50@1',  # room
        'D50@1 E40@2',  # room
        'D50@1 E40@2 R30',  # room
        'D50@1 E40@2 S32',  # better than R, by 2 only, and cheaper by board FLOPs
        'D50@1 E40@2 S32',  # Q is cheaper than S, but not better: equal
        'D50@1 E40@2 S32',  # Z is dearer, and better by 5, not by more
        'D50@1 E40@2 Z37.5@7',  # better by 5.5: at any cost
        'D50@1 E40@2 C40',  # better and cheaper than Z; of equal scores the dearer stands higher
        'D50@1 E40@2 C40',  # P is as good as the worst, no better
        'D50@1 B42 E40@2',  # better and cheaper than C, which stands last
        'D50@1 D45@11 B42',  # D again: a further entry, better and cheaper than E
        'A60 D50@1 D45@11',  # the budget is ignored; better and cheaper than B
        'A60 D50@1 D45@11',  # E is dearer than D, and better by 3
        'A60 D50@1 D45@11',  # D as good as itself
        'A60 D51@15 D50@1',  # D costs what D costs, but is better by 6
    ],
    paper=[
        'D50@1',
        'D50@1 E40@2',
        'D50@1 E40@2 R30',
        'D50@1 E40@2 S32',  # better and cheaper by board FLOPs
        'D50@1 E40@2 S32',  # equal
        'D50@1 E40@2 S32',  # dearer
        'D50@1 E40@2 S32',  # dearer: no gap opens this board
        'D50@1 E40@2 C40',  # better and cheaper than S; of equal scores the dearer stands higher
        'D50@1 E40@2 C40',  # equal
        'D50@1 B42 E40@2',  # better and cheaper than C
        'D50@1 D45@11 B42',  # a further entry, better and cheaper than E
        'A60 D50@1 D45@11',  # the budget is ignored; better and cheaper than B
        'A60 D50@1 D45@11',  # dearer
        'A60 D50@1 D45@11',  # equal
        'A60 D50@1 D45@11',  # better by 6, but not cheaper than itself
    ],
    fixed=[
        'D50@1',
        'D50@1 E40@2',
        'D50@1 E40@2 R30',
        'D50@1 E40@2 R30',  # S is better than R, by 2 only, and dearer by MACs
        'D50@1 E40@2 Q32',  # better and cheaper than R
        'D50@1 E40@2 Q32',  # Z is dearer, and better by 5, not by more
        'D50@1 E40@2 Z37.5@7',  # better by 5.5
        'D50@1 C40 E40@2',  # better and cheaper than Z; of equal scores the cheaper stands higher
        'D50@1 C40 E40@2',  # P is cheaper than E, but not better
        'D50@1 B42 C40',  # better and cheaper than E, which stands last
        'D45@11 B42 C40',  # D is there: its entry gets the newer score, though it is lower
        'D45@11 B42 C40',  # A is outside the budget
        'E48@13 D45@11 B42',  # dearer than C, and better by 8
        'E48@13 D45@14 B42',  # the same score, newer images
        'D51@15 E48@13 B42',
    ],
)
ADMITTED = dict(
    official='111100110111001',
    paper='111100010111000',
    fixed='111010110110111',
)


def make_board(compat):
    return tiny_cream(space=SPACE, budget=BUDGET, compat=compat).board


def offer(board, name, score, tag):
    """Offer a path whose images and soft targets carry a number to know them by."""
    images = torch.full((4, 3, 8, 8), float(tag)) + torch.arange(4).view(-1, 1, 1, 1) / 100
    soft = torch.tensor([[tag, 1.0, 2.0]]).repeat(4, 1)
    return board.offer(PATHS[name][0], score, images, soft)


def written(board):
    """The board in the notation above."""
    words = []
    for i, entry in enumerate(board.entries):
        name = NAMES[entry.arch]
        tag = int(board.images[i, 0, 0, 0, 0])
        assert board.soft_targets[i, :, 0].tolist() == [tag, tag]
        assert entry.macs == PATHS[name][1]
        offers = [number for number, (n, _) in enumerate(SCRIPT, start=1) if n == name]
        assert tag in offers
        words.append(f'{name}{entry.score:g}' + (f'@{tag}' if len(offers) > 1 else ''))
    return ' '.join(words)


def play(board):
    """What the board holds after each offer, and what it answered."""
    contents, answers = [], ''
    for tag, (name, score) in enumerate(SCRIPT, start=1):
        answers += str(int(offer(board, name, float(score), tag)))
        contents.append(written(board))
    return contents, answers


def test_the_costs_of_the_script():
    model = tiny_cream(space=SPACE)
    for arch, macs, board_flops in PATHS.values():
        cost = model.cost_model.cost(arch)
        assert (cost.macs, cost.board_flops) == (macs, board_flops)


@pytest.mark.parametrize('mode', EXPECTED)
def test_hand_computed_trace(mode):
    contents, answers = play(make_board(mode))
    for step, expected in enumerate(EXPECTED[mode]):
        assert contents[step] == expected, f'offer {step + 1}: {SCRIPT[step]}'
    assert answers == ADMITTED[mode]


@pytest.mark.parametrize(
    ('mode', 'option', 'value', 'step'),
    [
        ('official', 'board_cost', 'macs', 4),  # S is dearer than R by MACs
        ('official', 'admission', 'better_and_cheaper', 7),  # Z by its gap
        ('official', 'ties', 'cheaper', 8),  # C before E
        ('official', 'duplicates', 'refreshed', 11),
        ('official', 'budget', 'enforced', 12),
        ('fixed', 'board_cost', 'board_flops', 4),
        ('fixed', 'admission', 'better_and_cheaper', 7),
        ('fixed', 'ties', 'costlier', 8),
        ('fixed', 'duplicates', 'kept', 11),
        ('fixed', 'budget', 'ignored', 12),
    ],
)
def test_each_option_alone_changes_the_trace(mode, option, value, step):
    """... first at the offer that is about it."""
    contents, _ = play(make_board({'mode': mode, option: value}))
    differs = [ours != theirs for ours, theirs in zip(contents, EXPECTED[mode], strict=True)]
    assert differs.index(True) + 1 == step


@pytest.mark.parametrize('cost', ['macs', 'board_flops'])
@pytest.mark.parametrize(('cheap_macs', 'cheap_flops'), ['PQ', 'RS'])
def test_the_count_that_the_board_compares(cheap_macs, cheap_flops, cost):
    """Of two paths of equal score the cheaper makes room; a little better must be cheaper."""
    cheap, dear = cheap_macs, cheap_flops
    if cost == 'board_flops':
        cheap, dear = dear, cheap
    for other, score, admitted in ((cheap, 51.0, True), (cheap, 50.0, False), (dear, 51.0, False)):
        board = make_board(dict(mode='official', board_cost=cost))
        worst = dear if other == cheap else cheap
        for tag, (name, points) in enumerate([('E', 70.0), ('D', 60.0), (worst, 50.0)]):
            assert offer(board, name, points, tag)
        assert offer(board, other, score, 3) is admitted


def test_the_same_path_with_the_same_score():
    """Kept twice; the one that was first stays first. The released code may stop here."""
    board = make_board('official')
    for tag in (1, 2, 3):
        assert offer(board, 'C', 20.0, tag)
    assert [entry.score for entry in board.entries] == [20.0] * 3
    assert board.images[:, 0, 0, 0, 0].tolist() == [1, 2, 3]
    assert offer(board, 'B', 20.5, 4)  # the last of them makes room
    assert board.images[:, 0, 0, 0, 0].tolist() == [4, 1, 2]


@pytest.mark.parametrize(('mode', 'order'), [('official', 'EDCB'), ('fixed', 'BCDE')])
@pytest.mark.parametrize('offers', ['BCDE', 'EDCB', 'DBEC'])
def test_order_of_equal_scores(mode, order, offers):
    board = tiny_cream(space=SPACE, compat=mode, board=dict(capacity=4, num_images=2)).board
    for name in offers:
        assert offer(board, name, 12.5, 0)
    assert ''.join(NAMES[entry.arch] for entry in board.entries) == order
