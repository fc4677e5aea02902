"""Makes a config for one label per image one for several."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ..files import say_early
from ..registry import MODELS, argument_names, kind_of

METRIC = 'multi-label/mAP'
# Heads of one label, and what takes their place.
HEADS = dict(
    CreamClsHead='cream_mm.CreamMultiLabelClsHead',
    LinearClsHead='mmpretrain.MultiLabelLinearClsHead',
)
_OF_ONE_LABEL = ('Accuracy', 'SingleLabelMetric', 'ConfusionMatrix')
_THR = 0.5  # score from which on a label counts as predicted


def fit_multi_label(cfg: Config) -> None:
    """Give a classifier a head of several labels, and rate it by the mean average precision.

    What has a form for several labels already stays: heads, losses, metrics, mixup and cutmix.
    Label smoothing has none, and is left out.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If the model can do nothing with several labels, or its head is unknown here.
    """
    model = cfg.get('model')
    if not isinstance(model, dict):
        return
    cls = MODELS.get(str(model.get('type')))
    if reason := getattr(cls, 'one_label_only', None):
        raise ValueError(reason)
    if not _fit_head(model.get('head')):
        return
    for side in ('val', 'test'):
        if cfg.get(f'{side}_evaluator'):
            cfg[f'{side}_evaluator'] = _metrics(cfg[f'{side}_evaluator'])
    test_cfg = cfg.get('test_cfg') or {}
    if kind_of(test_cfg) and test_cfg.get('metric') is None and _rates(test_cfg['type']):
        test_cfg['metric'] = METRIC
        if 'metric' in cfg:
            cfg.metric = METRIC
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(checkpoint, dict) and checkpoint.get('save_best'):
        best = str(checkpoint['save_best'])
        if best == 'auto' or best.startswith(('accuracy/', 'single-label/')):
            checkpoint.update(save_best=METRIC, rule='greater')


def _fit_head(head: Any) -> bool:
    """Whether there is a head; it is one of several labels then.

    Raises:
        ValueError: If it is a head of one label that has no other form.
    """
    if not isinstance(head, dict):
        return False
    kind = kind_of(head)
    if kind not in HEADS:
        from mmpretrain.models.heads import MultiLabelClsHead

        cls = MODELS.get(str(head.get('type')))
        if not (isinstance(cls, type) and issubclass(cls, MultiLabelClsHead)):
            raise ValueError(
                f'images have several labels, and model.head={kind} gives one: take '
                f'{" or ".join(HEADS.values())}, or another MultiLabelClsHead'
            )
        return True
    text = f'Images have several labels: the head becomes {HEADS[kind]}, compared by {METRIC}'
    if loss := head.pop('loss', None):
        if kind_of(loss) == 'CrossEntropyLoss':
            head['loss'] = dict(loss, use_sigmoid=True)
        elif kind_of(loss) in ('AsymmetricLoss', 'FocalLoss'):
            head['loss'] = loss
        else:
            text += f'; {kind_of(loss)} is for one label, and left out for binary cross entropy'
    head['type'] = HEADS[kind]
    for key in ('topk', 'cal_acc'):
        head.pop(key, None)
    say_early(text)
    return True


def _metrics(evaluator: Any) -> Any:
    """Those for several labels in the place of those for one; what is not for labels stays."""
    metrics = list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
    kept = [m for m in metrics if not (isinstance(m, Mapping) and kind_of(m) in _OF_ONE_LABEL)]
    if len(kept) == len(metrics):
        return evaluator
    kinds = [kind_of(metric) for metric in kept]
    added = [
        dict(type='mmpretrain.AveragePrecision'),
        dict(type='mmpretrain.MultiLabelMetric', thr=_THR),
    ]
    return [*(metric for metric in added if kind_of(metric) not in kinds), *kept]


def _rates(loop: Any) -> bool:
    """Whether a loop compares paths by a metric."""
    from ..registry import LOOPS

    cls = LOOPS.get(str(loop))
    return cls is not None and 'metric' in (argument_names(cls) or ())
