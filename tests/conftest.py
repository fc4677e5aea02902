"""Golden numbers of the released networks, and the deterministic weights that give them."""

import json
import math
import re
import zlib
from pathlib import Path

import pytest

import cream_mm  # noqa: F401  before anything that imports mmcv.ops

pytest.register_assert_rewrite('cream_mm.testing.contracts')

DATA = Path(__file__).parent / 'data'


@pytest.fixture(autouse=True, scope='module')
def own_default_scope():
    """The scope that a file's tests or Runners set is not that of the next file."""
    from mmengine.registry import DefaultScope

    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(scope='session')
def golden():
    return json.loads((DATA / 'cream_golden.json').read_text())


def golden_fill(state_dict, official_key=lambda key: key):
    """Weights that are a function of the official key and the position alone, in float64.

    ``((7919 i + crc32(key)) mod 10007) / 10007 - 0.5``, scaled by kind.
    """
    import torch

    out = {}
    for key, value in state_dict.items():
        name = official_key(key)
        if name.endswith('num_batches_tracked'):
            out[key] = value
            continue
        i = torch.arange(value.numel(), dtype=torch.int64)
        a = ((7919 * i + zlib.crc32(name.encode())) % 10007).double() / 10007 - 0.5
        a = a.view(value.shape)
        if a.dim() >= 2:
            a = a * math.sqrt(24 / a[0].numel())
        elif name.endswith('running_var'):
            a = 1 + 0.4 * a
        elif (mean := re.sub(r'weight(\.\d+)?$', 'running_mean', key)) != key and (
            mean in state_dict
        ):  # of a BN, also where each input of it has one
            a = 1 + 0.2 * a
        else:
            a = 0.2 * a
        out[key] = a
    return out


def golden_image(side, num=1):
    import torch

    i = torch.arange(num * 3 * side * side, dtype=torch.int64)
    return (((104729 * i) % 10007).double() / 10007 * 4 - 2).view(num, 3, side, side)


def _numbers(step, shape, offset, scale):
    import torch

    i = torch.arange(math.prod(shape), dtype=torch.int64)
    a = ((step * i + offset) % 10007).double() / 10007
    return (a * scale - scale / 2).view(*shape)


def dna_supernet_key(key):
    """The released name of a tensor of a block supernet with one cell per block."""
    key = re.sub(r'^conv_stem', '_stem.0.conv', key)
    key = re.sub(r'^bn1', '_stem.0.bn1', key)
    key = re.sub(r'^first\.0', '_stem.1', key)
    return re.sub(
        r'^blocks\.(\d+)\.0\.(\d+)\.(\d+)', r'_blocks.\1._block_layers.\2._mix_ops.\3', key
    )


def cell_supernet_key(key, vanilla=False):
    """The released name of a tensor of a cell supernet, with banks or with a bank per edge."""
    from cream_mm.spaces.nas_bench_201 import EDGES

    key = re.sub(r'^stem\.', 'stem.op.', key).removeprefix('router.')

    def bank(match):
        return f'.c_{int(match[1]) + 1}.p_ops.'

    def edge(match):
        source, target = EDGES[int(match[1])]
        return f'.edge_mod.f_{source}_t_{target}.p_ops.'

    return re.sub(r'\.banks\.(\d+)\.', edge if vanilla else bank, key)


def learning_rates(cfg):
    """Those of a config's epochs, of 1251 steps as on ImageNet."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import PARAM_SCHEDULERS
    from torch import nn

    optim = build_optim_wrapper(nn.Linear(2, 2), cfg.optim_wrapper)
    (scheduler,) = [
        PARAM_SCHEDULERS.build(s, default_args=dict(optimizer=optim, epoch_length=1251))
        for s in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.max_epochs):
        (rate,) = {group['lr'] for group in optim.param_groups}
        rates.append(rate)
        optim.step()
        scheduler.step()
    return rates


def made_x(shape, offset=0):
    """Images of the golden numbers of DNA, -2 to 2; see :func:`ramp`."""
    return _numbers(104729, shape, offset, 4)


def made_cal(shape, offset=0):
    """Their images for calibration, -2 to 2."""
    return _numbers(31337, shape, offset, 4)


def made_t(shape, offset=0):
    """Their teacher's maps, -1 to 1."""
    return _numbers(65537, shape, offset, 2)


def ramp(x):
    """The same with a slope over height, width and sample: position and mixing can be seen.

    (N, C, H, W) -> (N, C, H, W)
    """
    import torch

    n, _, height, width = x.shape
    rows = 0.25 + 1.5 * torch.arange(height, dtype=x.dtype) / (height - 1)
    columns = 1.75 - 1.5 * torch.arange(width, dtype=x.dtype) / (width - 1)
    samples = 1 + 0.5 * torch.arange(n, dtype=x.dtype)
    return x * rows[:, None] * columns * samples[:, None, None, None]


@pytest.fixture(scope='session')
def golden_net():
    """A function: backbone and head as one model in float64 with the golden weights."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self, backbone, head):
            super().__init__()
            self.backbone = backbone
            self.head = head

        def forward(self, x):
            return self.head(self.backbone(x))

    def build(backbone, head):
        net = Net(backbone, head).double().eval()
        # 'backbone.bn1.weight' is officially 'bn1.weight', 'head.classifier.bias' likewise.
        filled = golden_fill(net.state_dict(), lambda key: key.split('.', 1)[1])
        net.load_state_dict(filled)
        return net

    build.image = golden_image
    return build


@pytest.fixture(scope='session')
def block_run(tmp_path_factory):
    """The work_dir of a block-wise search, see made_blocks.py; not to be written into."""
    from made_blocks import run_search

    return run_search(tmp_path_factory.mktemp('blocks'))
