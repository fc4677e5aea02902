"""Networks as files of other runtimes, ONNX and OpenVINO, checked against PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .export_folder import export
    from .int8_file import quantize
    from .onnx_file import read_about
    from .runtimes import onnxruntime_session, openvino_session

__all__ = ['export', 'onnxruntime_session', 'openvino_session', 'quantize', 'read_about']

# Imported when they are asked for: a file that is there is read and run without PyTorch.
_WHERE = dict(
    export='export_folder',
    onnxruntime_session='runtimes',
    openvino_session='runtimes',
    quantize='int8_file',
    read_about='onnx_file',
)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f'.{_WHERE[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
