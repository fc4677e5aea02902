"""The size of a network's input: that of the config's test pipeline, or another one."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..registry import kind_of


def sized(pipeline: Sequence[Mapping[str, Any]], size: Sequence[int]) -> list[dict[str, Any]]:
    """Steps of a test pipeline that make images of another size.

    The edge before a crop grows with the crop, so that the same share of the image is seen.

    Args:
        pipeline (Sequence[dict]): Of a config; stays as it is.
        size (Sequence[int]): (H, W).

    >>> crop = dict(type='CenterCrop', crop_size=224)
    >>> sized([dict(type='ResizeEdge', scale=256), crop], (96, 112))
    [{'type': 'ResizeEdge', 'scale': 128}, {'type': 'CenterCrop', 'crop_size': (112, 96)}]
    """
    height, width = size
    steps = [copy.deepcopy(dict(step)) for step in pipeline]
    crops = [step['crop_size'] for step in steps if kind_of(step) == 'CenterCrop']
    for step in steps:
        kind = kind_of(step)
        if kind == 'Resize':
            step['scale'] = width, height
        elif kind == 'ResizeEdge' and crops:
            old = [crops[0]] * 2 if isinstance(crops[0], int) else crops[0]
            growth = max(width / old[0], height / old[1])
            step['scale'] = math.ceil(step['scale'] * growth - 1e-6)
        elif kind == 'CenterCrop':
            step['crop_size'] = width, height
        elif kind == 'Pad' and step.get('size') is not None:
            step['size'] = width, height
    return steps


def size_of(resize: Mapping[str, Any] | None) -> list[int] | None:
    """[H, W] of what a pipeline makes of every image; None where it depends on the image.

    Args:
        resize (dict, optional): Of :func:`~cream_mm.deploy.onnx_file.resize_of`. What keeps the
            ratio of an image has the size into which it fits.
    """
    if resize is None:
        return None
    if resize['pad']['to'] or resize['crop']:
        return resize['pad']['to'] or resize['crop']
    return resize['size'] if resize['mode'] in ('stretch', 'keep_ratio') else None
