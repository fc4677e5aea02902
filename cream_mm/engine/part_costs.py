"""What backbone, neck and heads of a detector cost, each by itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..models.eval_mode import eval_mode
from ..ops import cpu_kernels
from ..registry import kind_of
from ..search import PathSampler
from ..structures import Arch

PARTS = ('backbone', 'neck', 'heads')
PUBLISHED_SCALE, PUBLISHED_SIZE = (1333, 800), (800, 1280)
"""Detectors on COCO are counted at 800 x 1280."""
NUM_RUNS, MIN_RUNS, MAX_SECONDS = 10, 3, 5.0  # of a measurement: as many runs, or so long
NUM_DRAWN = 31  # paths of which the median is taken


def is_detector(model: nn.Module) -> bool:
    """Whether a model is one of mmdet's, around a backbone."""
    return hasattr(model, 'with_bbox') and isinstance(getattr(model, 'backbone', None), nn.Module)


def size_of_tests(cfg: Mapping) -> tuple[int, int]:
    """Height and width of the images that a config tests on.

    Its ``input_size``, else its ``scale``, else the first ``Resize`` of its test pipeline; 800 x
    1280 where that is COCO's (1333, 800), or there is none.
    """
    if side := cfg.get('input_size'):
        return (side, side)
    scale = cfg.get('scale') or _resize(cfg.get('test_dataloader')) or PUBLISHED_SCALE
    return PUBLISHED_SIZE if tuple(scale) == PUBLISHED_SCALE else (scale[1], scale[0])


def run_once(model: BaseModel, image: Tensor) -> None:
    """Run any model on one image; some detectors want to know its size."""
    if not is_detector(model):
        model(image, mode='tensor')
        return
    size = tuple(image.shape[-2:])
    shapes = dict(img_shape=size, ori_shape=size, batch_input_shape=size, pad_shape=size)
    sample = DetDataSample(metainfo=dict(shapes, scale_factor=(1.0, 1.0)))
    model(image, [sample], mode='tensor')


@torch.no_grad()
def count_parts(model: BaseModel, size: tuple[int, int]) -> dict[str, dict[str, float]]:
    """Multiply-adds and parameters of a detector and of its parts, in millions.

    Heads are all that is neither backbone nor neck. Of a supernet multiply-adds are those of the
    path that it is set to, parameters those of all paths.

    Args:
        model (BaseModel): One of mmdet's.
        size (tuple[int, int]): Height and width of the image.

    Returns:
        dict[str, dict]: ``macs_m`` and ``params_m`` of :data:`PARTS` and of the ``whole``.
    """
    image = _image(model, size)
    with _evaluated(model), cpu_kernels.disabled(), FlopCounterMode(display=False) as counter:
        run_once(model, image)
    found = counter.get_flop_counts()
    name = type(model).__name__
    macs = dict.fromkeys(PARTS, 0) | dict(whole=counter.get_total_flops() // 2)
    for part in ('backbone', 'neck'):
        macs[part] = sum(found.get(f'{name}.{part}', {}).values()) // 2
    macs['heads'] = macs['whole'] - macs['backbone'] - macs['neck']
    params = dict.fromkeys(PARTS, 0) | dict(whole=_params(model))
    params['backbone'] = _params(model.backbone)
    params['neck'] = _params(model.neck) if getattr(model, 'neck', None) is not None else 0
    params['heads'] = params['whole'] - params['backbone'] - params['neck']
    return {
        part: dict(macs_m=macs[part] / 1e6, params_m=params[part] / 1e6)
        for part in (*PARTS, 'whole')
    }


@torch.no_grad()
def time_parts(model: BaseModel, size: tuple[int, int]) -> dict[str, float]:
    """Milliseconds of one image on this machine, of the ``backbone`` and of the ``whole``.

    The whole is all layers, without what picks the boxes out of their maps. Medians of ten runs;
    of fewer, where these take longer than five seconds.
    """
    image = _image(model, size)
    with _evaluated(model):
        return dict(
            backbone=_median_ms(lambda: model.backbone(image), image),
            whole=_median_ms(lambda: run_once(model, image), image),
        )


@contextmanager
def on_median_path(model: BaseModel, seed: int = 0) -> Iterator[Arch | None]:
    """Set a supernet to the path in the middle, by multiply-adds, of some drawn in its budget.

    Any other backbone is left as it is, and the path is None.
    """
    backbone = model.backbone
    if not getattr(backbone, 'shares_weights', False) or not hasattr(backbone, 'using'):
        yield None
        return
    sampler = PathSampler(backbone.space, backbone.budget, seed=seed)
    costs = backbone.budget.cost_model
    drawn = sorted(map(sampler.sample, range(NUM_DRAWN)), key=lambda arch: costs.cost(arch).macs)
    with backbone.using(drawn[NUM_DRAWN // 2]):
        yield drawn[NUM_DRAWN // 2]


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), eval_mode(model):  # a training goes on after this
        yield


def _image(model: nn.Module, size: tuple[int, int]) -> Tensor:
    parameter = next(model.parameters())
    return torch.zeros(1, 3, *size, device=parameter.device, dtype=parameter.dtype)


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _median_ms(run: Callable[[], Any], image: Tensor) -> float:
    run()  # warm
    times: list[float] = []
    while len(times) < MIN_RUNS or len(times) < NUM_RUNS and sum(times) < MAX_SECONDS:
        _wait(image)
        start = time.perf_counter()
        run()
        _wait(image)
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def _wait(image: Tensor) -> None:
    if image.is_cuda:
        torch.cuda.synchronize(image.device)


def _resize(node: Any) -> tuple[int, int] | None:
    """Width and height of the first step of a pipeline that resizes into a fixed frame."""
    if isinstance(node, Mapping):
        scale = node.get('scale')
        is_pair = isinstance(scale, (list, tuple)) and len(scale) == 2
        if kind_of(node) == 'Resize' and is_pair and all(type(side) is int for side in scale):
            return tuple(scale)
        node = list(node.values())
    for value in node if isinstance(node, (list, tuple)) else ():
        if (found := _resize(value)) is not None:
            return found
    return None
