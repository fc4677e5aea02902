"""Photographs that an exported file is checked with, prepared as the config prepares them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader, Subset

BATCH = 8


def validation_loader(cfg: Config, number: int | None = None) -> DataLoader | None:
    """Batches of a config's validation set in its order; of its test set where it has no other.

    Args:
        cfg (Config): Of a model.
        number (int, optional): How many images, spread evenly over the set. Defaults to all.

    Returns:
        DataLoader: Dicts of ``inputs``, images (3, H, W) as BGR, and ``data_samples``. None where
        the config has no such set.

    Raises:
        FileNotFoundError: If the images are not there.
    """
    for side in ('val', 'test'):
        settings = (cfg.get(f'{side}_dataloader') or {}).get('dataset')
        if settings and settings.get('type'):
            return _loader(DATASETS.build(settings), number)
    return None


def picture_loader(
    paths: Sequence[Path], pipeline: Sequence[Mapping], number: int | None = None
) -> DataLoader:
    """The same of image files about which nothing is known."""
    from mmcv.transforms import Compose

    steps = [step for step in pipeline if 'LoadAnnotations' not in str(step.get('type'))]
    return _loader(_Pictures(paths, Compose(steps)), number)


class _Pictures:
    def __init__(self, paths: Sequence[Path], pipeline: Any):
        self.paths, self.pipeline = paths, pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(dict(img_path=str(self.paths[index]), img_id=index))


def _loader(dataset: Any, number: int | None) -> DataLoader:
    if number is not None and number < len(dataset):
        places = np.linspace(0, len(dataset) - 1, number).round().astype(int)
        dataset = Subset(dataset, places.tolist())
    return DataLoader(dataset, BATCH, collate_fn=pseudo_collate)
