"""Kernels step aside wherever torch looks on: what it records, transforms or fakes stays right."""

import copy
import io
import warnings

import onnxruntime
import pytest
import torch
import torch.autograd.forward_ad as fwad
import torch.nn.utils.prune as prune
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from cream_mm import create_model
from cream_mm.models import CreamNet, CreamSupernet
from cream_mm.ops import cpu_kernels, is_ordinary

TORCH_2_1 = torch.__version__.startswith('2.1.')
ARCH = [[0], [0], [3], [5], [2], [4], [0]]  # kernels 3, 5 and 7
SIZE = 64


def lively(model):
    """Random weights, with statistics and gates such that the outputs have a visible deviation."""
    torch.manual_seed(0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = None  # cumulative average
    for name, module in model.named_modules():
        if name.endswith('conv_expand'):
            nn.init.normal_(module.weight, std=0.3)
            nn.init.normal_(module.bias, std=1.5)
    with torch.no_grad(), cpu_kernels.disabled():
        for _ in range(2):
            model.train()(2 * torch.randn(8, 3, SIZE, SIZE))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


@pytest.fixture(scope='module', params=['classifier', 'maps'])
def case(request):
    """A model, two batches, and what PyTorch's own operators answer to the second."""
    model = lively(create_model(ARCH, num_classes=10, features_only=request.param == 'maps'))
    torch.manual_seed(1)
    example, x = torch.randn(2, 3, SIZE, SIZE), torch.randn(3, 3, SIZE, SIZE)
    with torch.no_grad(), cpu_kernels.disabled():
        expected = as_tuple(model(x))
    assert all(out.std(0).mean() > 0.1 for out in expected)
    return model, example, x, expected


def as_tuple(outs):
    return tuple(outs) if isinstance(outs, (tuple, list)) else (outs,)


def assert_equal(outs, expected):
    outs = as_tuple(outs)
    assert len(outs) == len(expected)
    for out, other in zip(outs, expected, strict=True):
        torch.testing.assert_close(torch.as_tensor(out), other, rtol=0, atol=1e-5)


@torch.no_grad()
def test_eager(case):
    model, _, x, expected = case
    assert is_ordinary(x)
    assert_equal(model(x), expected)


@torch.no_grad()
def test_trace(case):
    model, example, x, expected = case
    assert_equal(torch.jit.trace(model, example)(x), expected)


def run_onnx(model_file, x):
    session = onnxruntime.InferenceSession(model_file, providers=['CPUExecutionProvider'])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@torch.no_grad()
def test_onnx_by_trace(case):
    model, example, x, expected = case
    file, kwargs = io.BytesIO(), {} if TORCH_2_1 else dict(dynamo=False)
    axes = dict(input={0: 'n'})
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model, (example,), file, input_names=['input'], dynamic_axes=axes, **kwargs
        )
    assert_equal(run_onnx(file.getvalue(), x), expected)


@pytest.mark.skipif(TORCH_2_1, reason="torch 2.1's dynamo exporter needs an onnxscript of 2023")
@torch.no_grad()
def test_onnx_by_dynamo(case, tmp_path):
    model, example, x, expected = case
    batch = torch.export.Dim('n')
    torch.onnx.export(
        model, (example,), tmp_path / 'model.onnx', dynamo=True, verbose=False,
        dynamic_shapes=({0: batch},),
    )  # fmt: skip
    assert_equal(run_onnx(tmp_path / 'model.onnx', x), expected)


@torch.no_grad()
def test_export(case):
    model, example, x, expected = case
    if TORCH_2_1:
        dims = [torch.export.dynamic_dim(example, 0) < 16]  # its convolutions differ from there on
        program = torch.export.export(model, (example,), constraints=dims)
    else:
        shapes = {'x' if isinstance(model, CreamNet) else 'inputs': {0: torch.export.Dim('n')}}
        program = torch.export.export(model, (example,), dynamic_shapes=shapes).module()
    assert_equal(program(x), expected)


@torch.no_grad()
def test_compile(case):
    model, _, x, expected = case
    assert_equal(torch.compile(model, backend='eager')(x), expected)


@torch.no_grad()
@pytest.mark.parametrize('train', [False, True])
def test_fake_tensors_and_graphs_of_them(case, train):
    model, _, x, expected = case
    copied = copy.deepcopy(model).train(train)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        outs = as_tuple(copied(mode.from_tensor(x)))
    assert [out.shape for out in outs] == [out.shape for out in expected]
    if not train:
        assert_equal(make_fx(model)(x)(x), expected)


def test_symbolic_trace(case):
    model, _, x, expected = case
    net = model if isinstance(model, CreamNet) else model.backbone
    with torch.no_grad():
        assert_equal(torch.fx.symbolic_trace(net)(x)[-1:], as_tuple(net(x))[-1:])


@torch.no_grad()
def test_vmap(case):
    model, _, x, expected = case
    outs = as_tuple(torch.func.vmap(model)(x[:, None]))
    assert_equal([out.flatten(0, 1) for out in outs], expected)


@pytest.mark.parametrize('forward', ['func', 'dual'])
def test_forward_derivatives(case, forward):
    """Against a difference of the outputs, in float64."""
    model, _, x, _ = case
    torch.manual_seed(2)
    step = torch.randn_like(x)
    if forward == 'func':
        tangents = as_tuple(torch.func.jvp(model, (x,), (step,))[1])
    else:
        with fwad.dual_level():
            outs = as_tuple(model(fwad.make_dual(x, step)))
            tangents = [fwad.unpack_dual(out).tangent for out in outs]
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        one, other = (as_tuple(exact(x.double() + t * step.double())) for t in (1e-6, -1e-6))
    for tangent, a, b in zip(tangents, one, other, strict=True):
        expected = (a - b) / 2e-6
        assert expected.std() > 0.1
        torch.testing.assert_close(tangent.double(), expected, rtol=0, atol=1e-2)


def test_per_sample_gradients_of_func(case):
    model, _, x, _ = case
    net = model if isinstance(model, CreamNet) else model.backbone
    params = dict(net.named_parameters())

    def loss(params, image):
        return torch.func.functional_call(net, params, (image[None],))[-1].square().mean()

    grads = torch.func.vmap(torch.func.grad(loss), (None, 0))(params, x)
    for i, image in enumerate(x):
        wanted = torch.autograd.grad(loss(params, image), list(params.values()))
        for got, other in zip(grads.values(), wanted, strict=True):
            torch.testing.assert_close(got[i], other, rtol=1e-3, atol=1e-4)


def test_a_batch_of_gradients_and_saved_tensors_of_another_layout():
    """Both reach the backward pass of a kernel alone: the forward pass was an ordinary one."""
    torch.manual_seed(0)
    net = CreamNet([[0], [4], [2], [5], [0], [3], [0]]).train()
    x, params = torch.randn(4, 3, 32, 32), list(net.parameters())
    out = net(x)[-1].mean((0, 2, 3))[:3]
    wanted = [torch.autograd.grad(out[i], params, retain_graph=True) for i in range(3)]
    batch = torch.autograd.grad(out, params, torch.eye(3), is_grads_batched=True)
    for got, *others in zip(batch, *wanted, strict=True):
        torch.testing.assert_close(got, torch.stack(others), rtol=1e-3, atol=1e-5)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.contiguous(), lambda t: t):
        out = net(x)[-1].mean((0, 2, 3))[0]
    for got, other in zip(torch.autograd.grad(out, params), wanted[0], strict=True):
        torch.testing.assert_close(got, other, rtol=1e-3, atol=1e-5)


def test_script_refuses_in_one_line(case):
    for model in (case[0], CreamSupernet('nas_bench_macro')):
        with pytest.raises(RuntimeError, match='torch.jit.trace') as error:
            torch.jit.script(model)
        assert '\n' not in str(error.value)


@torch.no_grad()
def test_hooks_are_called_and_pruned_weights_used(case):
    model, _, x, _ = case
    model, seen = copy.deepcopy(model).train(), set()
    names = {n for n, m in model.named_modules() if n and not list(m.children())}
    names = {n for n in names if 'backbone' in n or isinstance(model, CreamNet)}
    hooks = [
        module.register_forward_hook(lambda *args, name=name: seen.add(name))
        for name, module in model.named_modules()
        if name in names
    ]
    model(x)
    assert seen == names
    for hook in hooks:
        hook.remove()
    for name, module in model.eval().named_modules():
        if name.endswith('conv_reduce'):
            prune.l1_unstructured(module, 'weight', 0.5)
            module.weight_orig.mul_(2)  # the weight is computed anew by a hook
    got = as_tuple(model(x))
    with cpu_kernels.disabled():
        assert_equal(got, as_tuple(model(x)))


@torch.no_grad()
def test_another_default_dtype_and_device(case):
    model, _, x, expected = case
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device('meta'):
            outs = model(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_equal(outs, expected)


def test_what_is_ordinary():
    x = torch.randn(2, 4)
    assert is_ordinary(x, nn.Parameter(x)) and is_ordinary()
    with torch.no_grad():
        assert is_ordinary(x)
    with torch.inference_mode():
        assert is_ordinary(torch.randn(2), x)
    with torch.autocast('cpu', torch.bfloat16), torch.device('meta'):
        assert is_ordinary(x)

    class Other(torch.Tensor):
        pass

    for tensor in (
        torch._neg_view(x),
        x.to_sparse(),
        x.to('meta'),
        x.to_mkldnn(),
        x.as_subclass(Other),
        torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        None,
    ):
        assert not is_ordinary(x, tensor)
    with torch.overrides.BaseTorchFunctionMode():
        assert not is_ordinary(x)
    with fwad.dual_level():
        assert not is_ordinary(x)
    inside = []
    torch.func.vmap(lambda t: inside.append(is_ordinary(x)) or t)(x)
    torch.func.functionalize(lambda t: inside.append(is_ordinary(x)) or t)(x)
    torch.jit.trace(lambda t: inside.append(is_ordinary(x)) or t * 2, x, check_trace=False)
    assert inside == [False] * 3


@pytest.mark.skipif(cpu_kernels.load() is None, reason='no C++ compiler')
def test_overwritten_values_are_missed():
    """A graph that still needs what a kernel overwrote raises, as with PyTorch's operators."""
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    y = (x * 1.0).contiguous(memory_format=torch.channels_last)
    loss = y.square().sum()
    with torch.no_grad():
        cpu_kernels.scale(y, torch.full((2, 8), 2.0), out=y)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        loss.backward()
