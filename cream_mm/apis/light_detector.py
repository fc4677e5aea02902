"""The config of a light detector around a network with weights."""

import os
from pathlib import Path

from ..config.carry import read_config
from ..config.start_file import read_start
from ..mim_scope import configs_root
from .export_config import write_config
from .export_detector import fit_default

BASE = 'configs/photos/detector.py'


def write_detector(network: str, path: str | Path) -> Path:
    """Put a network into the light detector of :data:`BASE`, and write the config.

    Args:
        network (str): What :func:`read_start` takes: a name, or the folder or a checkpoint of a
            retraining or an export.
        path (str | Path): The file.

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: If the file does not tell its network, or that has too few stages.
    """
    try:
        start = read_start(network)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(str(error).replace(f'start={network}', network)) from None
    cfg, _ = read_config(configs_root() / BASE)
    about = dict(preprocess=start.preprocess, norm_cfg=start.norm_cfg)
    cfg = fit_default(cfg, start.arch, start.space, about, with_weights=False)
    checkpoint = start.checkpoint if start.is_published else os.path.abspath(start.checkpoint)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    path = Path(path)
    write_config(path, cfg, f'A light detector around {start.name}.')
    return path
