"""What a search among the slices of one network leaves, without its training."""

from pathlib import Path

import torch
from mmengine.registry import MODELS, DefaultScope

from cream_mm.apis.open_search import open_search
from cream_mm.config.load import load_config
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.testing import write_image_folder

CONFIG = """
_base_ = '{root}/configs/photos/search.py'
data_root = '{data}'
num_classes = 2
input_size = 48
input_sizes = [48, 32]
batch_size = 8
num_workers = 0
start = None
model = dict(
    backbone=dict(
        arch=[[0], [5], [3, 3], [3, 1], [5], [5], [0]],
        space=dict(depths=[1, 2, 2, 1, 1], act='relu', head_channels=16, widths=[8, 8, 16, 16, 24]),
        expansions=(6, 3),
        kernels=(5, 3),
        input_sizes=input_sizes,
        costs=dict(input_size=input_size, num_classes=num_classes, head_channels=16),
    ),
    head=dict(num_classes=num_classes, hidden_channels=16, norm_cfg=None, act='silu'),
    data_preprocessor=dict(num_classes=num_classes, mean=[100.0] * 3, std=[50.0] * 3),
)
train_cfg = dict(_delete_=True, type='cream_mm.SupernetTrainLoop', max_epochs=16)
test_cfg = dict(strategy=None, num=2, num_random=6)
"""


def write_search(home: Path, root: str) -> Path:
    """Images, and the work directory of a search whose weights are drawn; its front is rated.

    Returns:
        Path: The work directory; ``data`` lies beside it.
    """
    data = write_image_folder(home / 'data', train=20, val=4, size=(50, 56))
    work_dir = home / 'search'
    work_dir.mkdir()
    (work_dir / 'mine.py').write_text(CONFIG.format(root=root, data=data))
    cfg = load_config(str(work_dir / 'mine.py'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    init_cream_weights(model)
    model.backbone.sort_channels()
    torch.save(dict(state_dict=model.state_dict()), work_dir / 'epoch_1.pth')
    torch.save(dict(state_dict=model.state_dict()), work_dir / 'full.pth')
    with open_search(
        str(work_dir / 'mine.py'), str(work_dir / 'epoch_1.pth'), str(work_dir)
    ) as loop:
        loop.run()
    return work_dir
