"""``full.pth``: the full network of an elastic search, as a fixed network's checkpoint."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...checkpoints.whole_file import seal, to_plain
from ...files import write_whole
from ...files.answer_file import answer_content

FULL = 'full.pth'  # in the work_dir
META = ('arch', 'space', 'norm_cfg', 'classes', 'preprocess', 'input_size')


def write_full_network(
    path: str | Path, model: BaseModel, state: Mapping[str, Tensor], cfg: Mapping, seed: int
) -> None:
    """Write the full network so that a plain model around a ``CreamNet`` loads it.

    What it takes to build that model is in ``meta``, in the words of an exported architecture:
    ``arch``, ``space``, ``norm_cfg``, ``classes``, ``preprocess`` and ``input_size``.

    Args:
        path (str | Path): The file.
        model (BaseModel): Around an :class:`ElasticSupernet`.
        state (Mapping): Its state dict, whose names are those of a ``CreamNet``'s.
        cfg (Config): The search's config.
        seed (int): The search's seed.

    Raises:
        OSError: If it cannot be written.
    """
    full = model.backbone.space.full_path
    about = answer_content(model, full, cfg, seed=seed, next_steps={})
    meta = {key: about[key] for key in META if about.get(key) not in (None, [], {})}
    content = io.BytesIO()
    state = {name: value.detach().cpu().clone() for name, value in state.items()}
    torch.save(dict(meta=to_plain(meta), state_dict=state), content)
    write_whole(path, seal(content.getvalue()))


def teacher_of(model: BaseModel, cfg: Mapping, path: str | Path) -> dict:
    """The argument of ``set_teacher`` for the full network in a file.

    Args:
        model (BaseModel): Around an :class:`ElasticSupernet`.
        cfg (Mapping): The search's config, whose model has the same neck and head.
        path (str | Path): The file.
    """
    supernet = model.backbone
    network, space = supernet.space.network(supernet.space.full_path)
    backbone = dict(
        type='cream_mm.CreamNet', arch=network, space=space.to_dict(), norm_cfg=supernet.norm_cfg
    )
    parts = {key: _without_weights(cfg['model'].get(key)) for key in ('neck', 'head')}
    return dict(parts, backbone=backbone, checkpoint=str(path))


def _without_weights(part: Mapping | None) -> dict | None:
    """A part of a model without what would load a file into it: the teacher's has all weights."""
    return None if part is None else {k: v for k, v in part.items() if k != 'init_cfg'}
