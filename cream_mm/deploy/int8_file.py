"""An ONNX file in int8: activations by the ranges of calibration images, weights by channel.

Static quantization of onnxruntime, in the format of pairs of QuantizeLinear and DequantizeLinear.
What stands before the first layer with weights (the normalisation), the last such layer of each
path, and all behind it (softmax, decoding of boxes, suppression) stay in float32.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..files.whole import write_whole
from .onnx_file import add_to_about

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

INPUT = 'image'
PER_CHANNEL_OPSET = 13
"""Since this one DequantizeLinear takes a scale for each channel."""
QUANTIZED = ('Conv', 'Gemm', 'MatMul', 'Add', 'Mul', 'Clip', 'Relu', 'Pad', 'Concat', 'MaxPool',
             'AveragePool', 'GlobalAveragePool', 'Resize', 'Flatten', 'Reshape')  # fmt: skip
_WEIGHTED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')


class Quantized(NamedTuple):
    """What became of a file.

    Attributes:
        images (int): How many the ranges are from.
        layers (int): Layers with weights that are int8.
        kept (list[str]): Those that are float32.
    """

    images: int
    layers: int
    kept: list[str]


def quantize(
    path: str | Path,
    out: str | Path,
    images: Iterable[np.ndarray],
    *,
    per_channel: bool = True,
    reduce_range: bool = False,
) -> Quantized:
    """Write an ONNX file again with int8 layers; its input and outputs stay.

    Its metadata say ``int8`` besides: the number of ``images``, and the ``bits`` of the weights.

    The ranges of the activations are the least and the largest value that the images give. No
    histogram is kept, and batches are taken one by one, so that memory does not grow with the
    number of images.

    Args:
        path (str | Path): A file of ours, float32.
        out (str | Path): The new file.
        images (iterable[ndarray]): Batches (N, 3, H, W), as the file takes them.
        per_channel (bool): A scale for each channel of the weights instead of one for all. A layer
            by depth is of little use with one. Defaults to True.
        reduce_range (bool): Weights of 7 bits. An x86 processor without VNNI adds two products in
            16 bits, which 8 bits may overflow. Defaults to False.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
        ValueError: If the types of tensors cannot be inferred (the node is named), the operators
            are too old for scales by channel, nothing is to be quantized, or there is no image.
    """
    import onnx

    model = onnx.load(str(path))
    opset = next(entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx'))
    if per_channel and opset < PER_CHANNEL_OPSET:
        raise ValueError(
            f'{path} has opset {opset}; scales by channel need {PER_CHANNEL_OPSET} or later: '
            'export it anew without --opset'
        )
    body, tail = split(model, path)
    _infer(body, path)
    kept = outside(body.graph)
    layers = _layers(body.graph)
    kept_layers = [name for name in layers if name in kept]
    if len(layers) == len(kept_layers):
        raise ValueError(f'{path} has {len(layers)} layers with weights: nothing to quantize')
    reader = _Reader(images)
    quantized = _quantize(body, reader, sorted(kept), per_channel, reduce_range)
    joined = _join(model, quantized, tail)
    add_to_about(joined, int8=dict(images=reader.images, bits=7 if reduce_range else 8))
    onnx.checker.check_model(joined)
    write_whole(out, joined.SerializeToString())
    return Quantized(reader.images, len(layers) - len(kept_layers), kept_layers)


# ---- which part ----------------------------------------------------------------------------------


def split(model: 'ModelProto', where: str | Path = 'the model') -> tuple['ModelProto', list]:
    """(model up to the last layers with weights, nodes behind them).

    The quantizer sees the first part alone: it needs the type of every tensor, and decoding and
    suppression have some that no inference knows. Nodes get names where they have none.

    Raises:
        ValueError: If there is no layer with weights.
    """
    import onnx

    graph = model.graph
    for i, node in enumerate(graph.node):
        node.name = node.name or f'{node.op_type}_{i}'
    makers = {name: node.name for node in graph.node for name in node.output}
    layers, in_body = _layers(graph), set()
    for node in reversed(graph.node):  # in the order in which they run
        if node.name in in_body or node.name in layers:
            in_body.add(node.name)
            in_body.update(makers[name] for name in _reads(node) if name in makers)
    if not in_body:
        raise ValueError(f'{where} has no layer with weights: nothing to quantize')
    body = [node for node in graph.node if node.name in in_body]
    tail = [node for node in graph.node if node.name not in in_body]
    wanted = {name for node in tail for name in _reads(node)} | {o.name for o in graph.output}
    constants = {name for node in body if node.op_type == 'Constant' for name in node.output}
    ends = [name for node in body for name in node.output if name in wanted - constants]
    used = {name for node in body for name in _reads(node)}
    part = onnx.helper.make_model(
        onnx.helper.make_graph(
            body,
            'body',
            list(graph.input),
            [onnx.ValueInfoProto(name=name) for name in ends],
            [tensor for tensor in graph.initializer if tensor.name in used],
        ),
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    return part, tail


def outside(graph: 'GraphProto') -> set[str]:
    """Names of the nodes that stay in float: before the first layers, the last ones, behind them.

    >>> from onnx import parser
    >>> text = '''a (float[1, 3, 8, 8] x, float[3, 3, 1, 1] w) => (float[1, 3, 8, 8] z) {
    ...     [norm] a = Sub (x, x)
    ...     [first] b = Conv (a, w)
    ...     [act] c = Relu (b)
    ...     [last] z = Conv (c, w)
    ... }'''
    >>> sorted(outside(parser.parse_graph(text)))
    ['last', 'norm']
    """
    layers = _layers(graph)
    before: set[str] = set()  # tensors that depend on a layer
    between: set[str] = set()
    for node in graph.node:
        depends = any(name in before for name in _reads(node))
        if depends or node.name in layers:
            before.update(node.output)
            between.add(node.name)
    after: set[str] = set()  # tensors that a layer depends on
    for node in reversed(graph.node):
        feeds = any(name in after for name in node.output)
        if feeds or node.name in layers:
            after.update(_reads(node))
        if not feeds:
            between.discard(node.name)
    return {node.name for node in graph.node} - between


def _layers(graph: 'GraphProto') -> dict[str, 'NodeProto']:
    """Layers with weights by name. A product of two activations is none."""
    weights = {tensor.name for tensor in graph.initializer}
    return {
        node.name: node
        for node in graph.node
        if node.op_type in _WEIGHTED and (node.op_type != 'MatMul' or node.input[1] in weights)
    }


def _reads(node: 'NodeProto') -> list[str]:
    """Tensors that a node takes, those that its branches take from outside among them."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            names += [name for one in inner.node for name in _reads(one)]
            names += [output.name for output in inner.output]
    return names


# ---- its types -----------------------------------------------------------------------------------


def _infer(body: 'ModelProto', where: str | Path) -> None:
    """Fill in the types and shapes of all tensors.

    Raises:
        ValueError: If that fails, with the node.
    """
    import onnx

    try:
        found = onnx.shape_inference.infer_shapes(body, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ValueError(
            f'{where} cannot become int8: its shapes cannot be inferred: '
            f'{" ".join(str(error).split())}. Export it with a fixed size (without --dynamic-size)'
        ) from error
    body.CopyFrom(found)
    known = {info.name: info for info in (*body.graph.value_info, *body.graph.output)}
    for node in body.graph.node:
        for name in node.output:
            if name and not (name in known and known[name].type.tensor_type.elem_type):
                raise ValueError(
                    f'{where} cannot become int8: nothing tells the type of what the node '
                    f'{node.name} ({node.op_type}) gives. Export it with a fixed size (without '
                    '--dynamic-size)'
                )


# ---- the quantizer -------------------------------------------------------------------------------


class _Reader:
    """Batches, as onnxruntime asks for them."""

    def __init__(self, batches: Iterable[np.ndarray]):
        self.batches, self.images = iter(batches), 0

    def __iter__(self) -> Iterator[dict]:
        return iter(self.get_next, None)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        if batch is None:
            if not self.images:
                raise ValueError('int8 needs images to calibrate with: there is none')
            return None
        self.images += len(batch)
        return {INPUT: batch}


def _quantize(
    body: 'ModelProto', reader: _Reader, kept: list[str], per_channel: bool, reduce_range: bool
) -> 'ModelProto':
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    # Or a warning asks for a step that does what the exporter has done.
    body.metadata_props.add(key='onnx.quant.pre_process', value='onnxruntime.quant')
    with tempfile.TemporaryDirectory(prefix='cream_mm-') as folder, _quiet():
        file = Path(folder, 'int8.onnx')
        quantize_static(
            body, file, reader, quant_format=QuantFormat.QDQ, op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=kept, per_channel=per_channel, reduce_range=reduce_range,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(str(file))


@contextmanager
def _quiet() -> Iterator[None]:
    """Calibration's own session warns of each constant that a branch left over."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


def _join(model: 'ModelProto', body: 'ModelProto', tail: list['NodeProto']) -> 'ModelProto':
    """The whole again: a quantized body, and what stands behind it as it was."""
    import onnx

    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    graph = joined.graph
    nodes = [*body.graph.node, *tail]
    used = {name for node in nodes for name in _reads(node)} | {o.name for o in graph.output}
    made = {name for node in nodes for name in node.output}
    # A bias that was quantized is what a node gives, under the name that it had.
    weights = {
        tensor.name: tensor
        for part in (model, body)
        for tensor in part.graph.initializer
        if tensor.name in used - made
    }
    # A constant that both parts take may have gone from the first one.
    lost = [
        node for node in model.graph.node
        if node.op_type == 'Constant'
        and any(name in used - made and name not in weights for name in node.output)
    ]  # fmt: skip
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    graph.node.extend([*lost, *nodes])
    graph.initializer.extend(weights.values())
    del joined.opset_import[:]
    joined.opset_import.extend(body.opset_import)
    return joined
