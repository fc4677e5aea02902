"""From a trained model to a folder that runs without it: the file, its check, a script."""

import importlib.util
import inspect
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel

from ..apis.export_onnx import OPSET
from ..apis.predict import find_pictures, open_model
from ..files.whole import write_json, write_whole
from ..models.backbones.published import published_nets
from . import parity, run_onnx
from .calibration import CalibrationImages
from .describe import describe, graph_of, onnx_content
from .earlier import INT8, OPENVINO, remove_earlier
from .int8_check import MAX_DROP, compare_int8, lines_of
from .int8_file import quantize
from .openvino import compare_default, convert
from .photographs import picture_loader, validation_loader
from .runtimes import onnxruntime_session, openvino_session

FILE, SCRIPT, RECORD = 'model.onnx', 'run_onnx.py', 'export.json'

MANY = 500  # photographs: who waits for as many is told so


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

    What an earlier export wrote into the folder for other weights, or otherwise, is removed.

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
        ValueError: If arguments do not go together, the model cannot become ONNX, or what was
            written does not say what the model says, or int8 loses more than ``max_drop``: the file
            is called ``model.failed.onnx``, ``model.failed.int8.onnx`` then.
        FileNotFoundError, ImportError: If a file or a package is missing.
    """
    if int8 is not None and maps:
        raise ValueError('int8 is rated by what a model predicts: not with --maps')
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
    if int8 is not None:  # what is missing is said before anything is written
        calibration = CalibrationImages(model.cfg, about, int8)
    content = onnx_content(graph, names, about)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    written = [*([OPENVINO] if openvino else []), *([INT8] if int8 is not None else [])]
    record = dict(about=about, **remove_earlier(folder, folder / RECORD, about, written))
    write_json(folder / RECORD, record)  # that of other weights is not beside this file
    write_whole(path, content)
    shutil.copyfile(run_onnx.__file__, folder / SCRIPT)
    print(f'{path}: {_summary(about, len(content))}', flush=True)
    try:
        loader = _photographs(model.cfg, pipeline, images, check_images) if check else None
        if loader is not None and len(loader.dataset) > MANY:
            print(f'comparing on {len(loader.dataset)} photographs (--check-images)', flush=True)
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
            _write_int8(
                record, path, model.cfg, about, calibration, int8_bits, max_drop, check_images
            )
    finally:
        write_json(folder / RECORD, record)
    if about['task'] != 'maps':  # the script takes no feature maps
        words = ['python', str(folder / SCRIPT), str(path), 'PHOTO.jpg']
        words += ['--out', 'drawn'] if about['task'] == 'detection' else []
        print(f'next\n  {shlex.join(words)}')
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
    for file in [path, path.with_suffix('.bin')] if path.suffix == '.xml' else [path]:
        os.replace(file, _failed(file))
    return _failed(path)


def _failed(path: Path) -> Path:
    return path.with_name(path.name.replace('model.', 'model.failed.', 1))


def _say_precision(record, path, exact, about) -> None:
    """Print what OpenVINO's own choice of precision changes."""
    image = parity.noise(about['input'].get('batch', 2), about['input']['size'])
    found = compare_default(path, exact, image.transpose(0, 3, 1, 2).astype('float32'))
    record['checks']['openvino'] |= dict(default=found._asdict())
    print(f'openvino: checked in f32. {found.line()}', flush=True)


def _write_int8(record, path, cfg, about, images, bits, max_drop, check_images) -> None:
    """Write the int8 file, and print what it costs and gives.

    Raises:
        ValueError: If it loses too much; it has another name then.
    """
    out = path.with_name(INT8)
    for line in images.lines():
        print(f'int8: {line}', flush=True)
    made = quantize(path, out, images, reduce_range=bits == 7)
    print(
        f'int8: {made.layers} layers are int8; {len(made.kept)} at the end and what is behind stay '
        'float32', flush=True,
    )  # fmt: skip
    found = compare_int8(
        path, out, cfg, about, number=check_images, max_drop=max_drop,
        calibrated_on_all=images.images == images.total,
    )  # fmt: skip
    record['int8'] = found
    print(*lines_of(found), sep='\n', flush=True)
    if not found['good']:
        raise ValueError(
            f'int8 loses {found["drop"]:.2f} points, more than {max_drop:g} (--max-drop). The file '
            f'is called {_set_aside(out)} now; {path} is good'
        )
    print(f'{out}: int8', flush=True)
