import json

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.files.board_file import BOARD_FORMAT, board_content
from cream_mm.methods.cream.prioritized_board import BoardEntry
from cream_mm.testing import tiny_space


def test_what_a_board_file_holds():
    space = tiny_space()
    budget = Budget(build_cost_model(space, 8, num_classes=3, head_channels=16), macs_m=(0, 0.5))
    archs = [space.decode(flat) for flat in ([0, 1, 1, 0], [1, 1, 0, 0])]
    costs = [budget.cost_model.cost(arch) for arch in archs]
    entries = [BoardEntry(arch, 50.0 - i, costs[i].macs) for i, arch in enumerate(archs)]
    rated = [dict(arch=archs[1].to_list(), top1_pct=61.5), dict(arch=[[0]], top1_pct=7.0)]
    content = board_content(entries, 5, budget, rated)
    assert content == dict(
        format=BOARD_FORMAT,
        capacity=5,
        budget=dict(macs_m=[0, 0.5]),
        rated=rated,
        entries=[
            dict(
                rank=i + 1,
                arch=archs[i].to_list(),
                train_top1_pct=50.0 - i,
                macs_m=pytest.approx(costs[i].macs / 1e6),
                params_m=pytest.approx(costs[i].params / 1e6),
                top1_pct=[None, 61.5][i],
            )
            for i in (0, 1)
        ],
    )
    assert json.loads(json.dumps(content)) == content
    early = board_content(entries[:1], 5, Budget(budget.cost_model))
    assert early['budget'] == {} and early['rated'] == []
    assert early['entries'][0]['top1_pct'] is None
