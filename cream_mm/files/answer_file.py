"""``best_arch.json``: the path that a search ends with, and all that goes on from it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..structures import Arch
from .arch_file import DETECTION, arch_content, run_settings
from .slice_of import slice_content

if TYPE_CHECKING:
    from mmengine.model import BaseModel

SEARCH_FORMAT = 'cream_mm.search/1'
"""Value of the "format" key of ``search.json``: all paths that a search rated."""


class Recorded(Protocol):
    """A rating, which is known by what its log keeps of it."""

    def record(self) -> dict: ...


def rating_content(rating: Recorded, bn_policy: str) -> dict:
    """A rating as the answer's file has it; what single images say stays in the log."""
    content = dict(rating.record(), bn_policy=bn_policy)
    return {key: value for key, value in content.items() if key not in ('losses', 'draws')}


def measured_content(latency: Mapping) -> dict:
    """What ``latency`` of a config says of where the times are from: an entry of answers.

    Args:
        latency (Mapping): With the ``table`` that it was taken from.
    """
    table = latency.get('table') or {}
    kept = {key: latency.get(key) for key in ('file', 'batch', 'dtype')}
    kept.update(machine=table.get('machine'), check=table.get('check'))
    return {key: value for key, value in kept.items() if value is not None}


def _preprocess(model) -> dict:
    """How the images were normalised, for whoever uses the network; None: not at all."""
    prep, mean, std = model.data_preprocessor, None, None
    if getattr(prep, '_enable_normalize', False):
        mean, std = (value.flatten().tolist() for value in (prep.mean, prep.std))
    # mmpretrain's tells its flag; mmengine's, and so mmdet's, keeps it for itself.
    to_rgb = getattr(prep, 'to_rgb', getattr(prep, '_channel_conversion', False))
    return dict(mean=mean, std=std, to_rgb=to_rgb)


def answer_content(
    model: 'BaseModel',
    arch: Arch,
    cfg: Mapping,
    *,
    rating: dict | None = None,
    choice: dict | None = None,
    seed: int,
    next_steps: dict,
) -> dict:
    """What ``best_arch.json`` holds; ``tools/export_arch.py`` goes on from there.

    Args:
        model (BaseModel): Built around a supernet.
        arch (Arch): The path.
        cfg (Config): The search's config.
        rating (dict, optional): What is known of its quality.
        choice (dict, optional): How it was chosen: ``rule``, a key of ``arch_file.RULES``, and
            ``notes``, sentences for whoever goes on with it.
        seed (int): The search's seed.
        next_steps (dict): See :class:`SearchLoop`.
    """
    supernet = model.backbone
    details = {}
    for part in (supernet, model):
        details.update(part.answer_details() if hasattr(part, 'answer_details') else {})
    details.update(slice_content(supernet.budget.cost_model, arch))
    network, costs = supernet.budget.cost_model.network(arch)
    if costs.num_classes is None:  # of a backbone alone
        details = dict(details, task=DETECTION)
    if not supernet.weights_travel:
        details = dict(details, weights_travel=False)
    settings = run_settings(cfg, getattr(supernet, 'norm_cfg', None) or {})
    if len(settings.get('classes', ())) > (costs.num_classes or len(cfg.get('classes') or ())):
        del settings['classes']  # costs count a classifier of fewer: these are of other labels
    if costs.cost(network).latency_ms is not None and (measured := cfg.get('latency')):
        details = dict(details, latency=measured_content(measured))
    return arch_content(
        network,
        costs,
        rating=rating,
        choice=choice,
        budget=supernet.budget.to_dict(),
        **details,
        config=cfg.get('filename') or cfg.filename,
        seed=seed,
        data_root=cfg.get('data_root'),
        preprocess=_preprocess(model),
        next_steps=next_steps,
        **settings,
    )
