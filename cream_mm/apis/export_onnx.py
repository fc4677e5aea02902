"""A module as an ONNX file: a classifier, the maps of a backbone, a single layer."""

import inspect
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn as nn

from ..files.whole import write_whole
from ..models.eval_mode import eval_mode

OPSET = 17


@torch.no_grad()
def export_onnx(
    module: nn.Module,
    path: str | Path,
    input_shape: Sequence[int],
    *,
    input_names: Sequence[str] = ('input',),
    output_names: Sequence[str] | None = None,
    opset: int = OPSET,
    dynamic_batch: bool = False,
    dynamic_size: bool = False,
) -> Path:
    """Write a module in eval mode as ONNX, by a trace; it stays in the mode that it was in.

    Batch norm is folded into the convolutions before it.

    Args:
        module (Module): Takes one tensor; gives a tensor, or a sequence of tensors.
        path (str | Path): The file.
        input_shape (Sequence[int]): (N, C, H, W) of the input.
        input_names (Sequence[str]): Name of the input.
        output_names (Sequence[str], optional): Of each output. Defaults to ``output``, of several
            ``output_0``, ``output_1``, ...
        opset (int): Version of ONNX's operators. Defaults to 17.
        dynamic_batch (bool): Leave N open. Defaults to False.
        dynamic_size (bool): Leave H and W open. What depends on them, the padding of TensorFlow
            say, is computed in the graph then. Whether the module can do with any size only a
            run at another one tells. Defaults to False.

    Returns:
        Path: The file.

    Raises:
        ImportError: If the package onnx is not installed.
        ValueError: If the module is no plain function of one tensor, or there are not as many
            names as outputs.
        OSError: If the file cannot be written.
    """
    content = onnx_bytes(
        module, input_shape, input_names=input_names, output_names=output_names, opset=opset,
        dynamic_batch=dynamic_batch, dynamic_size=dynamic_size,
    )  # fmt: skip
    write_whole(path, content)
    return Path(path)


@torch.no_grad()
def onnx_bytes(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    input_names: Sequence[str] = ('input',),
    output_names: Sequence[str] | None = None,
    opset: int = OPSET,
    dynamic_batch: bool = False,
    dynamic_size: bool = False,
) -> bytes:
    """The content of the file that :func:`export_onnx` writes, checked by onnx's own checker."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'the export to ONNX needs the package onnx: pip install "cream-mm[onnx]"'
        ) from error
    first = next((p for p in (*module.parameters(), *module.buffers())), None)
    example = torch.zeros(tuple(input_shape), device='cpu' if first is None else first.device)
    with eval_mode(module):
        outs = module(example)
        outs = [outs] if isinstance(outs, torch.Tensor) else outs
        if not isinstance(outs, (list, tuple)) or not all(
            isinstance(x, torch.Tensor) for x in outs
        ):
            raise ValueError(
                f'only what gives a tensor, or a sequence of tensors, becomes ONNX; '
                f'{type(module).__name__} gives {type(outs).__name__}'
            )
        if output_names is None:
            several = len(outs) > 1
            output_names = [f'output_{i}' for i in range(len(outs))] if several else ['output']
        if len(output_names) != len(outs) or len(input_names) != 1:
            raise ValueError(
                f'one input and {len(outs)} outputs need as many names; got '
                f'{list(input_names)} and {list(output_names)}'
            )
        axes = {0: 'batch'} if dynamic_batch else {}
        dynamic = {name: dict(axes) for name in (*input_names, *output_names)}
        if dynamic_size:
            dynamic[input_names[0]] |= {2: 'height', 3: 'width'}
            for name, out in zip(output_names, outs):
                if out.dim() == 4:
                    dynamic[name] |= {2: f'{name}_height', 3: f'{name}_width'}
        content = _traced(module, example, input_names, output_names, opset, dynamic)
    onnx.checker.check_model(onnx.load_from_string(content))
    return content


def _traced(module, example, input_names, output_names, opset, dynamic) -> bytes:
    """What torch's exporter by trace writes. The other one, dynamo's, takes ten times as long."""
    can_choose = 'dynamo' in inspect.signature(torch.onnx.export).parameters  # torch 2.1 cannot
    with tempfile.TemporaryDirectory(prefix='cream_mm-') as folder, warnings.catch_warnings():
        # Of sizes that become constants, which is what is asked for, and of the exporter's age.
        warnings.simplefilter('ignore')
        file = os.path.join(folder, 'module.onnx')
        torch.onnx.export(
            module, (example,), file, opset_version=opset, input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes=dynamic,
            **(dict(dynamo=False) if can_choose else {}),
        )  # fmt: skip
        return Path(file).read_bytes()
