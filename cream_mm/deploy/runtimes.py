"""Files run by the runtimes that they are for: one small function each."""

import os
from collections.abc import Callable

import numpy as np

Runtime = Callable[[np.ndarray], dict[str, np.ndarray]]  # image (N, 3, H, W) -> outputs by name


def onnxruntime_session(path: str | os.PathLike, *, threads: int | None = None) -> Runtime:
    """An ONNX file, run by onnxruntime on the CPU at its default level of optimisation.

    Args:
        path (str): The file.
        threads (int, optional): Defaults to what ``OMP_NUM_THREADS`` says, else to onnxruntime's
            own number.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If it cannot run the file; the versions of both are said.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'this needs the package onnxruntime: pip install "cream-mm[onnx]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    threads = threads or int(os.environ.get('OMP_NUM_THREADS') or 0)
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=['CPUExecutionProvider']
        )
    except Exception as error:  # of its own kinds, which share no base
        raise ValueError(_not_run(path, 'onnxruntime', onnxruntime.__version__, error)) from error
    name = session.get_inputs()[0].name
    outputs = [out.name for out in session.get_outputs()]

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, {name: image}), strict=True))

    return run


def openvino_session(
    path: str | os.PathLike, *, precision: str | None = 'f32', threads: int | None = None
) -> Runtime:
    """An OpenVINO or ONNX file, run by OpenVINO on the CPU.

    Args:
        path (str): ``model.xml``, beside its ``.bin``, or an ONNX file.
        precision (str, optional): ``'f32'`` (default), or None for OpenVINO's own choice: bfloat16
            on processors that have it.
        threads (int, optional): Defaults to what ``OMP_NUM_THREADS`` says, else to OpenVINO's own.

    Raises:
        ImportError: If openvino is not installed.
        ValueError: If it cannot run the file; its version is said.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            'this needs the package openvino: pip install "cream-mm[openvino]"'
        ) from error
    settings: dict[str, str | int] = {}
    if precision:
        settings['INFERENCE_PRECISION_HINT'] = precision
    if threads := threads or int(os.environ.get('OMP_NUM_THREADS') or 0):
        settings['INFERENCE_NUM_THREADS'] = threads
    try:
        compiled = openvino.Core().compile_model(os.fspath(path), 'CPU', settings)
    except Exception as error:
        raise ValueError(_not_run(path, 'openvino', openvino.__version__, error)) from error

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        found = compiled([np.ascontiguousarray(image)])
        # A copy: the next run writes over it.
        return {out.get_any_name(): np.array(found[out]) for out in compiled.outputs}

    return run


def _not_run(path: str | os.PathLike, runtime: str, version: str, error: Exception) -> str:
    versions = ''
    if str(path).endswith('.onnx'):
        try:
            import onnx

            model = onnx.load(os.fspath(path), load_external_data=False)
            versions = f' (opset {model.opset_import[0].version}, IR version {model.ir_version})'
        except Exception:  # that it cannot be read is in the error of the runtime
            versions = ''
    reason = ' '.join(str(error).split())
    return (
        f'{runtime} {version} cannot run {path}{versions}: {reason}. If the versions are the '
        f'reason: pip install --upgrade {runtime}, or export with a lower --opset'
    )
