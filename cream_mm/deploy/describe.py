"""What a file is to say of itself, and its content: a model, described and traced."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from ..apis.export_onnx import OPSET, onnx_bytes
from ..apis.predict import is_detector, test_pipeline
from ..registry import kind_of
from ..version import __version__
from . import classifier
from .image_size import size_of, sized
from .onnx_file import resize_of, write_about
from .photographs import validation_loader


def describe(
    model: BaseModel,
    *,
    maps: bool = False,
    size: Sequence[int] | None = None,
    opset: int = OPSET,
) -> tuple[dict[str, Any], list[dict]]:
    """The metadata of a model's file but for what is open in it, and its test pipeline.

    Where ``size`` is given, the pipelines of the model's config are changed to it.

    Raises:
        ValueError: If neither ``size`` nor the pipeline says how large the input is.
    """
    if size is not None:
        _resize_pipelines(model.cfg, size)
    pipeline = test_pipeline(model.cfg)
    prepare = classifier.Normalise(model.data_preprocessor)
    preprocessor = model.data_preprocessor
    try:
        resize = resize_of(
            pipeline,
            divisor=preprocessor.pad_size_divisor,
            value=prepare.colour(float(preprocessor.pad_value)),
        )
    except ValueError as error:
        print(f'note: {error}; run_onnx.py cannot prepare images for this file', flush=True)
        resize = None
    size = list(size or size_of(resize) or _first_size(model.cfg, resize))
    divisor = preprocessor.pad_size_divisor
    size = [-(-side // divisor) * divisor for side in size]
    if maps:
        task = 'maps'
    elif is_detector(model):
        task = 'detection'
    else:
        task = 'multi-label' if classifier.is_multi_label(model) else 'classification'
    about = dict(
        task=task,
        classes=[] if maps else list(model.dataset_meta['classes']),
        input=dict(order='RGB', range=[0, 255], size=size, dynamic=[]),
        normalisation=prepare.in_words(),
        resize=resize,
        outputs={},
        test_cfg=_thresholds(model, task),
        weights=_weights(model),
        exporter='torchscript',
        opset=opset,
        versions=_versions(),
    )
    return about, pipeline


def graph_of(
    model: BaseModel, about: dict[str, Any], *, dynamic_size: bool = False
) -> tuple[nn.Module, tuple[str, ...]]:
    """The graph of a model for a task, and the names of its outputs, which ``about`` then has."""
    resize = about['resize'] if dynamic_size else None
    if resize is not None and 'Pad' not in map(kind_of, test_pipeline(model.cfg)):
        resize['pad']['divisor'] = 1  # the graph does it
    if about['task'] == 'detection':
        from . import detector

        graph, names = detector.graph_of(model, dynamic_size=dynamic_size)
        about['outputs'] = dict(detector.OUTPUTS)
        return graph, names
    maps = about['task'] == 'maps'
    graph, names = classifier.graph_of(model, maps=maps)
    if maps:
        with torch.no_grad():
            height, width = about['input']['size']
            outs = graph(torch.zeros(1, 3, height, width))
        about['outputs'] = {
            name: '(N, {}, {}, {}) '.format(*out.shape[1:]) + f'of images of {height} x {width}'
            for name, out in zip(names, outs, strict=True)
        }
    else:
        kind = 'sigmoid of each label' if about['task'] == 'multi-label' else 'softmax, sum 1'
        about['outputs'] = {name: f'{kind}; (N, {len(about["classes"])})' for name in names}
    return graph, names


def onnx_content(graph: nn.Module, names: Sequence[str], about: dict[str, Any]) -> bytes:
    """The file's content, metadata included.

    Raises:
        ValueError: If the exporter of torch cannot write the model.
    """
    import onnx

    dynamic = about['input']['dynamic']
    # At two images: a constant 1 would pass for what it is not.
    batch = 2 if 'batch' in dynamic else about['input']['batch']
    try:
        content = onnx_bytes(
            graph, (batch, 3, *about['input']['size']), input_names=['image'], output_names=names,
            opset=about['opset'], dynamic_batch='batch' in dynamic, dynamic_size='size' in dynamic,
        )  # fmt: skip
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = ' '.join(str(error).split())
        advice = ' Leave --dynamic-size away.' if 'size' in dynamic else ''
        raise ValueError(
            f'torch {torch.__version__} cannot write this model as ONNX: {reason}.{advice}'
        ) from error
    proto = onnx.load_from_string(content)
    write_about(proto, about)
    return proto.SerializeToString()


def _resize_pipelines(cfg: Config, size: Sequence[int]) -> None:
    for side in ('val', 'test'):
        dataset = (cfg.get(f'{side}_dataloader') or {}).get('dataset')
        while isinstance(dataset, Mapping):
            if dataset.get('pipeline'):
                dataset['pipeline'] = sized(dataset['pipeline'], size)
            inner = dataset.get('dataset') or dataset.get('datasets')
            dataset = inner[0] if isinstance(inner, (list, tuple)) and inner else inner


def _first_size(cfg: Config, resize: dict | None) -> list[int]:
    """[H, W] of the first photograph, where the pipeline leaves images as they are."""
    if resize is not None and resize['mode'] == 'none':
        try:
            loader = validation_loader(cfg, 1)
        except FileNotFoundError:
            loader = None
        if loader is not None and len(loader.dataset):
            return list(next(iter(loader))['inputs'][0].shape[1:])
    raise ValueError(
        'the test pipeline does not say how large the input is: give --size H W, and with '
        '--dynamic-size every other one will do, too'
    )


def _thresholds(model: BaseModel, task: str) -> dict[str, Any]:
    if task == 'multi-label':
        return dict(threshold=getattr(model.head, 'thr', None))
    if task != 'detection':
        return {}
    cfg = copy.deepcopy(model.test_cfg or model.bbox_head.test_cfg)
    return cfg.to_dict() if hasattr(cfg, 'to_dict') else dict(cfg)


def _weights(model: BaseModel) -> dict[str, Any]:
    digest = hashlib.sha256(model.weights_from.read_bytes()).hexdigest()
    return dict(file=model.weights_from.name, sha256=digest, ema=model.weights_averaged)


def _versions() -> dict[str, str]:
    import onnx

    return dict(cream_mm=__version__, torch=torch.__version__, onnx=onnx.__version__)
