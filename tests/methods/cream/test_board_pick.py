from types import SimpleNamespace

from cream_mm.costs import Budget, build_cost_model
from cream_mm.methods.cream.board_pick import BoardPick
from cream_mm.testing import tiny_space

SPACE = tiny_space()
COSTS = build_cost_model(SPACE, 8, num_classes=3, head_channels=16)
BOARD = [SPACE.decode(flat) for flat in ([1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0])]
BUDGET = Budget(COSTS, macs_m=(None, COSTS.cost(BOARD[1]).macs / 1e6 - 1e-6))
EXPECTED = [BOARD[0], BOARD[2], BOARD[3]]  # the second is beyond the budget


def asked(strategy, batch):
    found = []
    while archs := strategy.ask(batch):
        strategy.tell(archs, [0.0] * len(archs))
        found += archs
    return found


def test_the_board_in_its_order_and_no_more():
    lists = [arch.to_list() for arch in [*BOARD, BOARD[0]]]
    for batch in (1, 2, 9):
        assert asked(BoardPick(SPACE, BUDGET, archs=lists), batch) == EXPECTED


def test_the_board_of_a_run():
    board = SimpleNamespace(entries=[SimpleNamespace(arch=arch) for arch in [*BOARD, BOARD[2]]])
    run = SimpleNamespace(
        model=SimpleNamespace(board=board), supernet=SimpleNamespace(space=SPACE, budget=BUDGET)
    )
    assert asked(BoardPick.for_run(run), 2) == EXPECTED
    run.model = SimpleNamespace()  # a method without a board
    assert asked(BoardPick.for_run(run), 2) == []
