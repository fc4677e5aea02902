"""What a search leaves for an export: its answer and a supernet with known weights."""

import json
from pathlib import Path

import torch

from cream_mm.models import CreamClsHead, CreamSupernet
from cream_mm.models.layers.init import init_cream_weights

ANSWER = dict(
    format='cream_mm.arch/1', arch=[[0], [4], [3], [5], [3], [5], [0]], num_classes=3,
    head_channels=64, input_size=[32, 32],
    space=dict(depths=[1] * 5, act='relu', head_channels=64),
    preprocess=dict(mean=[10.0, 20.0, 30.0], std=[50.0, 60.0, 70.0], to_rgb=True),
    norm_cfg=dict(type='BN', eps=0.25, momentum=0.03),
)  # fmt: skip


def write_answer(home: Path, answer: dict, checkpoint: str) -> torch.nn.ModuleDict:
    """Write ``best_arch.json`` and the supernet that it is a path of; returns the supernet."""
    torch.manual_seed(0)
    supernet = torch.nn.ModuleDict(
        dict(
            backbone=CreamSupernet(answer['space'], norm_cfg=answer['norm_cfg']),
            head=CreamClsHead(3, 320, 64),
        )
    ).eval()
    init_cream_weights(supernet)
    torch.save(dict(state_dict=supernet.state_dict()), home / checkpoint)
    (home / 'best_arch.json').write_text(json.dumps(answer))
    return supernet
