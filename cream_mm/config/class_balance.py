"""``class_balance``: classes with few images count as much as those with many."""

from mmengine.config import Config

from ..files import say_early
from ..registry import kind_of

HOOK = 'cream_mm.ClassWeightsHook'
SAMPLER = 'cream_mm.BalancedSampler'
_SAMPLERS = ('DefaultSampler', 'BalancedSampler')


def fit_class_balance(cfg: Config) -> None:
    """Put what ``class_balance`` asks for into a config, in place; None leaves it alone.

    ``'sampling'`` draws the training images of every class alike, ``'weights'`` weighs classes in
    the loss by the training images.

    Raises:
        ValueError: If it is neither, or the images are no classifier's with one label each.
    """
    balance = cfg.get('class_balance')
    if balance is None:
        return
    if balance not in ('sampling', 'weights'):
        raise ValueError(f"class_balance is 'sampling', 'weights' or None; got {balance!r}")
    if cfg.get('multi_label'):
        raise ValueError(
            'class_balance is for images with one label each, and these have several: to draw an '
            'image with a rare label more often changes the shares of all its labels. Leave '
            'class_balance out'
        )
    model = cfg.get('model') or {}
    if 'bbox_head' in model or 'roi_head' in model:
        raise ValueError(
            'class_balance is for classifiers: a picture of a detector shows boxes of several '
            "classes. Wrap the training set in dict(type='ClassBalancedDataset', "
            'oversample_thr=0.1, dataset=...) to draw pictures with rare classes more often'
        )
    if balance == 'sampling':
        sampler = (cfg.get('train_dataloader') or {}).get('sampler')
        if not isinstance(sampler, dict) or kind_of(sampler) not in _SAMPLERS:
            raise ValueError(
                "class_balance='sampling' takes the place of a DefaultSampler in "
                f'train_dataloader; this one has {sampler!r}'
            )
        sampler.update(type=SAMPLER, shuffle=True)
        say_early("class_balance='sampling': every class is drawn alike in training")
        return
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(kind_of(hook) == 'ClassWeightsHook' for hook in hooks if isinstance(hook, dict)):
        cfg.custom_hooks = [*hooks, dict(type=HOOK)]
    say_early("class_balance='weights': classes are weighed by their training images in the loss")
