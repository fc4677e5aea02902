import json

from cream_mm.costs import Budget, build_cost_model
from cream_mm.files.board_file import BOARD_FORMAT, board_content
from cream_mm.methods.cream.prioritized_board import BoardEntry
from cream_mm.testing import tiny_space
