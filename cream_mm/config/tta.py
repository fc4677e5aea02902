"""Test-time augmentation: each image is predicted several times, turned over, and merged."""

import copy

from mmengine.config import Config, ConfigDict

from ..registry import type_name

# A classifier's test pipeline ends with the one, a detector's with the other.
_PACKED_BY = ('PackInputs', 'PackDetInputs')
_FLIP_KEYS = ('flip', 'flip_direction')  # what a box is turned back by


def use_tta(cfg: Config) -> None:
    """Make a config's testing one with augmentation, in place.

    ``tta_model`` and ``tta_pipeline`` of the config are taken where they are there. Otherwise each
    image is predicted as it is and mirrored: of a classifier the scores are averaged; the boxes of
    a detector are joined by NMS.

    Raises:
        ValueError: If the config tests neither a classifier nor a detector.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:  # a part of another one
        dataset = dataset['dataset']
    pipeline = dataset.get('pipeline') or [{}]
    packed_by = type_name(pipeline[-1].get('type'))
    loop = type_name((cfg.get('test_cfg') or {}).get('type'))
    if packed_by not in _PACKED_BY or loop not in ('', 'TestLoop'):
        raise ValueError(
            '--tta needs the config of one classifier or detector, whose test_cfg is a TestLoop '
            f'and whose test pipeline ends with {" or ".join(_PACKED_BY)}'
        )
    model, pipeline = _mirrored(pipeline, detects=packed_by == 'PackDetInputs')
    cfg.setdefault('tta_model', model)
    cfg.setdefault('tta_pipeline', pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def _mirrored(pipeline: list, detects: bool) -> tuple[dict, list]:
    """``tta_model`` and ``tta_pipeline``; classes, for text is read in the scope of a config."""
    from mmcv.transforms import RandomFlip, TestTimeAug

    if detects:
        from mmdet.datasets.transforms import RandomFlip
        from mmdet.models import DetTTAModel

        joined = dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
        model = dict(type=DetTTAModel, tta_cfg=joined)
    else:
        from mmpretrain.models import AverageClsScoreTTA

        model = dict(type=AverageClsScoreTTA)
    *steps, packing = copy.deepcopy(list(pipeline))
    if packing.get('meta_keys') is not None:
        packing['meta_keys'] = (*packing['meta_keys'], *_FLIP_KEYS)
    flips = [dict(type=RandomFlip, prob=prob) for prob in (1.0, 0.0)]
    return model, [*steps, dict(type=TestTimeAug, transforms=[flips, [packing]])]
