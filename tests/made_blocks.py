"""A block-wise search in seconds: its config, its teacher's weights, and the run itself."""

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope, init_default_scope

from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.models import CreamNet
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).parents[1]
SKELETON = dict(
    choices=((3, 2), (5, 3)), strides=(2, 1, 2, 1, 2), stem_channels=8, first_channels=8,
    final_channels=0, head_channels=16, act='relu6', se='none', padding='same', bn_eps=0.003,
)  # fmt: skip
# One cell; several of different depth and width; of one width; of one depth.
CELLS = [[(1, 8)], [(1, 8), (2, 16)], [(1, 16), (2, 16)], [(2, 16), (2, 24)], [(1, 24)]]
TEACHER = dict(SKELETON, depths=[1] * 5, widths=[8, 16, 16, 24, 32])
CONFIG = """\
_base_ = {base!r}
default_scope = 'mmpretrain'
data_root = {data_root!r}
input_size = 32
max_epochs = 2
budget = dict(macs_m=(None, {most}))
pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
images = dict(
    type='cream_mm.UnlabelledImages', data_root=data_root, part='train', holdout=8,
    pipeline=pipeline,
)
model = dict(
    type='cream_mm.DNA',
    teacher=dict(
        backbone=dict(
            type='cream_mm.CreamNet', arch=[[0], [1], [0], [1], [0], [1], [0]], space={teacher!r},
            init_cfg=dict(type='Pretrained', checkpoint={weights!r}),
        ),
    ),
    backbone=dict(
        type='cream_mm.BlockSupernet',
        space=dict({skeleton!r}, cells={cells!r}),
        costs=dict(input_size=input_size),
        budget=budget,
    ),
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
)
train_dataloader = dict(
    batch_size=4, num_workers=0, dataset=images, sampler=dict(type='DefaultSampler', shuffle=True)
)
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(images, part='holdout'),
)
train_cfg = dict(type='cream_mm.SupernetTrainLoop', max_epochs=max_epochs)
test_cfg = dict(type='cream_mm.BlockRatingLoop', bn_dataset=images, num_bn_images=8, num_random=4)
test_evaluator = []
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.01))
default_hooks = dict(
    logger=dict(interval=1), path_log=dict(type='cream_mm.PathLogHook'),
    summary=dict(type='cream_mm.SummaryHook'),
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


def write_config(home: Path, *, most: float = 0.7) -> Path:
    """``search.py``, its images without labels and its teacher's weights, all below ``home``."""
    data = write_image_folder(home / 'photos', classes=('.',), train=16, val=0, size=(32, 32))
    torch.manual_seed(0)
    teacher = CreamNet([[0], [1], [0], [1], [0], [1], [0]], space=TEACHER)
    teacher.init_weights()
    torch.save(dict(state_dict=teacher.state_dict()), home / 'teacher.pth')
    config = home / 'search.py'
    config.write_text(
        CONFIG.format(
            base=str(ROOT / 'configs/_base_/default_runtime.py'),
            data_root=str(data),
            most=most,
            teacher=TEACHER,
            weights=str(home / 'teacher.pth'),
            skeleton=SKELETON,
            cells=CELLS,
        )  # fmt: skip
    )
    return config


def run_search(home: Path, options: dict[str, Any] | None = None) -> Path:
    """Train the supernet, rate its blocks and join them; returns the work_dir."""
    cfg = load_config(str(write_config(home)), options)
    cfg.work_dir = str(home / 'run')
    # A fixture of a whole session runs this: the scope must not stay for the tests behind it.
    before = dict(DefaultScope._instance_dict)
    try:
        init_default_scope('mmpretrain')
        Runner.from_cfg(cfg).train()
    finally:
        DefaultScope._instance_dict.clear()
        DefaultScope._instance_dict.update(before)
    return home / 'run'
