"""From a trained model to a folder that runs without it: the file, its check, a script."""

import copy
import hashlib
import importlib.util
import inspect
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from ..apis.export_onnx import OPSET, onnx_bytes
from ..apis.predict import find_pictures, is_detector, open_model, test_pipeline
from ..files.whole import write_json, write_whole
from ..models.backbones.published import published_nets
from ..registry import kind_of
from ..version import __version__
from . import classifier, parity, run_onnx
from .calibration import CalibrationImages
from .image_size import size_of, sized
from .int8_check import MAX_DROP, compare_int8, lines_of
from .onnx_file import resize_of, write_about
from .openvino import convert
from .photographs import picture_loader, validation_loader
from .quantize import quantize
from .runtimes import onnxruntime_session, openvino_session

FILE, INT8, SCRIPT, RECORD = 'model.onnx', 'model.int8.onnx', 'run_onnx.py', 'export.json'


def export(
    config: str,
    checkpoint: str | None = None,
    out: str | os.PathLike | None = None,
    *,
    maps: bool = False,
    size: Sequence[int] | None = None,
    dynamic_size: bool = False,
    batch: int | None = None,
    opset: int = OPSET,
    openvino: bool = False,
    int8: int | None = None,
    int8_bits: int = 8,
    max_drop: float = MAX_DROP,
    check: bool = True,
    check_images: int | None = None,
    images: str | os.PathLike | None = None,
    cfg_options: dict | None = None,
) -> Path:
    """Write a model as ONNX, and compare what was written with it.

    Args:
        config, checkpoint (str): As of :func:`~cream_mm.apis.predict.open_model`: a config and a
            checkpoint, a work directory, an export, the name of a published network.
        out (str, optional): Folder. Defaults to ``onnx`` in the work directory or the export, or
            beside the checkpoint; ``work_dirs/NAME/onnx`` of a published network.
        maps (bool): Write the maps of the backbone. Defaults to False: what the model predicts.
        size (Sequence[int], optional): (H, W) of the input. Defaults to that of the config's test
            pipeline.
        dynamic_size (bool): Leave height and width open. Defaults to False.
        batch (int, optional): Fix the number of images. Defaults to leaving it open.
        opset (int): Version of ONNX's operators. Defaults to 17.
        openvino (bool): Write OpenVINO's files as well, and check them too. Defaults to False.
        int8 (int, optional): Write ``model.int8.onnx`` as well, with ranges of so many training
            images, rated and timed beside the other one. Defaults to None: do not.
        int8_bits (int): Of the weights, 8 or 7: a processor without VNNI is inexact with 8.
            Defaults to 8.
        max_drop (float): Percentage points that int8 may lose. Defaults to 1.
        check (bool): Compare. Defaults to True.
        check_images (int, optional): How many photographs of the validation set. Defaults to all.
        images (str, optional): A folder of photographs to compare with. Defaults to the config's
            validation set.
        cfg_options (dict, optional): Overrides of the config, dotted keys.

    Returns:
        Path: ``model.onnx``.

    Raises:
        ValueError: If the model cannot become ONNX, or what was written does not say what the
            model says, or int8 loses more than ``max_drop``: it is called ``model.failed.onnx``,
            ``model.failed.int8.onnx`` then.
        FileNotFoundError, ImportError: If a file or a package is missing.
    """
    check_packages(openvino=openvino, runs=check or int8 is not None)
    model = open_model(config, checkpoint, 'cpu', cfg_options)
    about, pipeline = describe(model, maps=maps, size=size, opset=opset)
    folder = Path(out) if out is not None else _folder(str(config), model)
    graph, names = graph_of(model, about, dynamic_size=dynamic_size)
    if dynamic_size:
        about['input']['dynamic'].append('size')
    if batch is None:
        about['input']['dynamic'].insert(0, 'batch')
    else:
        about['input']['batch'] = batch
    content = onnx_content(graph, names, about)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_whole(path, content)
    shutil.copyfile(run_onnx.__file__, folder / SCRIPT)
    print(f'{path}: {_summary(about, len(content))}', flush=True)
    record: dict[str, Any] = dict(about=about, checks={})
    try:
        loader = _photographs(model.cfg, pipeline, images, check_images) if check else None
        if check:
            run = onnxruntime_session(path)
            _check(record, 'onnxruntime', path, run, model, loader, about)
        if openvino:
            xml = convert(path)
            print(f'{xml}: as OpenVINO reads it', flush=True)
            if check:
                run = openvino_session(xml)
                _check(record, 'openvino', xml, run, model, loader, about)
                _say_precision(record, xml, run, about)
        if int8 is not None:
            _write_int8(record, path, model.cfg, about, int8, int8_bits, max_drop, check_images)
    finally:
        write_json(folder / RECORD, record)
    return path


def _photographs(cfg, pipeline, images, number):
    """What a file is checked with; None, and a line, where there are none."""
    if images is not None:
        return picture_loader(find_pictures([images]), pipeline, number)
    try:
        return validation_loader(cfg, number)
    except FileNotFoundError as error:
        print(f'note: the validation set is not there ({error}); --images FOLDER', flush=True)
        return None


def check_packages(*, openvino: bool = False, runs: bool = True) -> None:
    """Say what is not installed before anything takes time.

    Raises:
        ImportError: If a package is missing that an export needs.
    """
    wanted = {'onnx': 'onnx', 'onnxruntime': 'onnx' if runs else '', 'openvino': ''}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        wanted['onnxscript'] = 'onnx'  # the exporter of later versions of torch
    if openvino:
        wanted['openvino'] = 'openvino'
    for package, extra in wanted.items():
        if extra and importlib.util.find_spec(package) is None:
            raise ImportError(f'this needs the package {package}: pip install "cream-mm[{extra}]"')


# ---- what a file says of itself ------------------------------------------------------------------


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
    if about['task'] == 'detection':
        from . import detector

        graph, names = detector.graph_of(model, dynamic_size=dynamic_size)
        about['outputs'] = dict(detector.OUTPUTS)
        pads = 'Pad' in map(kind_of, test_pipeline(model.cfg))
        if dynamic_size and about['resize'] is not None and not pads:
            about['resize']['pad']['divisor'] = 1  # the graph does it
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


def _folder(config: str, model: BaseModel) -> Path:
    if os.path.isdir(config):
        return Path(config, 'onnx')
    if config in published_nets:
        return Path('work_dirs', config, 'onnx')
    return model.weights_from.parent / 'onnx'


def _summary(about: Mapping[str, Any], number: int) -> str:
    height, width = about['input']['size']
    dynamic = about['input']['dynamic']
    batch = 'any batch' if 'batch' in dynamic else f'batches of {about["input"]["batch"]}'
    size = 'any size' if 'size' in dynamic else f'{height} x {width} pixels'
    weights = about['weights']
    averaged = ', averaged (EMA)' if weights['ema'] else ''
    return (
        f'{about["task"]}, {batch}, {size}, {number / 2**20:.1f} MB; '
        f'weights {weights["file"]}{averaged}, sha256 {weights["sha256"][:12]}'
    )


# ---- whether it is right -------------------------------------------------------------------------


def _check(record, runtime, path, run, model, loader, about) -> None:
    """Print what the check of a file finds.

    Raises:
        ValueError: If it failed; the file has another name then.
    """
    check = parity.check
    if about['task'] == 'detection':
        from .detector_parity import check
    report = check(path, run, model, loader, about=about)
    for line in report.lines:
        print(f'{runtime}: {line}', flush=True)
    record['checks'][runtime] = dict(
        passed=report.passed, failures=report.failures, **report.numbers
    )
    if not report.passed:
        raise ValueError(f'{report.verdict()}. It is called {_set_aside(path)} now')
    print(f'{runtime}: {report.verdict()}', flush=True)


def _set_aside(path: Path) -> Path:
    """Give a file a name that nobody takes for a good one."""
    for file in {path, path.with_suffix('.bin')}:
        if file.exists():
            os.replace(file, _failed(file))
    return _failed(path)


def _failed(path: Path) -> Path:
    return path.with_name(path.name.replace('model.', 'model.failed.', 1))


def _say_precision(record, path, exact, about) -> None:
    """Print what OpenVINO's own choice of precision changes; it depends on the processor."""
    image = parity.noise(about['input'].get('batch', 2), about['input']['size'])
    pixels = image.transpose(0, 3, 1, 2).astype('float32')
    ours, theirs = openvino_session(path, precision=None)(pixels), exact(pixels)
    name = 'scores' if 'scores' in theirs else next(iter(theirs))
    off = parity.distance(ours[name], theirs[name], name)
    record['checks']['openvino']['default_precision'] = off
    print(
        f'openvino: checked in f32; at the precision that it takes by itself here, {name} differ '
        f'by {off:.1e}', flush=True,
    )  # fmt: skip


def _write_int8(record, path, cfg, about, number, bits, max_drop, check_images) -> None:
    """Write the int8 file, and print what it costs and gives.

    Raises:
        ValueError: If it loses too much; it has another name then.
    """
    out = path.with_name(INT8)
    images = CalibrationImages(cfg, about, number)
    for line in images.lines():
        print(f'int8: {line}', flush=True)
    quantize(path, out, images, reduce_range=bits == 7)
    found = compare_int8(path, out, cfg, about, number=check_images, max_drop=max_drop)
    record['int8'] = found
    print(*lines_of(found), sep='\n', flush=True)
    if not found['good']:
        raise ValueError(
            f'int8 loses {found["drop"]:.2f} points, more than {max_drop:g} (--max-drop). The file '
            f'is called {_set_aside(out)} now; {path} is good'
        )
    print(f'{out}: int8', flush=True)
