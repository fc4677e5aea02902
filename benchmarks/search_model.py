"""The model of a search, as a config says, to be timed."""

from pathlib import Path

import torch
from mmengine.registry import DefaultScope

from cream_mm.config.load import load_config
from cream_mm.methods.cream import Cream
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]


def build_search(
    config: str,
    options: dict,
    *,
    budget: bool = True,
    board: bool = True,
    capacity: int | None = None,
) -> Cream:
    """A model in training mode with weights of seed 0; nothing of data is looked at.

    Args:
        config (str): Below the repository.
        options (dict): Overrides of the config.
        budget (bool): Whether paths obey the config's. Defaults to True.
        board (bool): Whether it has Cream's board and matching. Defaults to True.
        capacity (int, optional): Of the board. Defaults to None: the config's.
    """
    cfg = load_config(str(ROOT / config), options, check_data=False).model
    if not budget:
        cfg.budget = {}
    if not board:
        cfg.board = cfg.matching = None
    elif capacity is not None:
        cfg.board.capacity = capacity
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    init_cream_weights(model)
    return model.train()
