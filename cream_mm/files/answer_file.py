"""``best_arch.json``: the path that a search ends with, and all that goes on from it."""

from .arch_file import arch_content, run_settings


def rating_content(rating, bn_policy: str) -> dict:
    """A rating as the answer's file has it; the losses of single images stay in the log."""
    content = dict(rating._asdict(), bn_policy=bn_policy)
    del content['losses']
    return content


def _preprocess(model) -> dict:
    """How the images were normalised, for whoever uses the network; None: not at all."""
    prep, mean, std = model.data_preprocessor, None, None
    if getattr(prep, '_enable_normalize', False):
        mean, std = (value.flatten().tolist() for value in (prep.mean, prep.std))
    return dict(mean=mean, std=std, to_rgb=getattr(prep, 'to_rgb', False))


def answer_content(
    model,
    arch,
    cfg,
    *,
    rating: dict | None = None,
    choice: dict | None = None,
    seed: int,
    next_steps: dict,
) -> dict:
    """What ``best_arch.json`` holds; ``tools/export_arch.py`` goes on from there.

    Args:
        model (Cream): The supernet's classifier.
        arch (Arch): The path.
        cfg (Config): The search's config.
        rating (dict, optional): What is known of its quality.
        choice (dict, optional): How it was chosen: ``rule``, a key of ``arch_file.RULES``, and
            ``notes``, sentences for whoever goes on with it.
        seed (int): The search's seed.
        next_steps (dict): See :class:`BoardRatingLoop`.
    """
    return arch_content(
        arch,
        model.cost_model,
        rating=rating,
        choice=choice,
        budget=model.budget.to_dict(),
        compat=model.compat.to_dict(),
        config=cfg.get('filename') or cfg.filename,
        seed=seed,
        data_root=cfg.get('data_root'),
        preprocess=_preprocess(model),
        next_steps=next_steps,
        **run_settings(cfg, model.backbone.norm_cfg),
    )
