"""Counts any model by running it once, in the three conventions of ``costs/mbconv.py``.

The only file of this folder that needs torch: it serves detectors and other people's networks;
architectures of the search spaces are counted by table.
"""

import math
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from ..costs import Cost
from ..ops import cpu_kernels


@torch.no_grad()
def count_model(model: nn.Module, run: Callable[[], None], skip_norm: str = '') -> Cost:
    """Cost of one forward.

    Args:
        model (nn.Module): The model.
        run (callable): Runs it once, on one image.
        skip_norm (str): Name of the stem's norm layer, which ``board_flops`` does not count.

    Returns:
        Cost: ``macs`` as torch's own counter has it; the other two by layer type.
    """
    counts = Counter()

    def relu(shape, *args, **kwargs):  # an operator, because the networks call it without a module
        counts['relu'] += math.prod(shape)
        return 0

    operators = {torch.ops.aten.relu: relu, torch.ops.aten.relu_: relu}
    counter = FlopCounterMode(display=False, custom_mapping=operators)

    def hook(name):
        def count(module, inputs, output):
            if isinstance(module, nn.modules.conv._ConvNd):
                per_output = module.weight[0].numel()
                counts['conv'] += output.numel() * per_output
                counts['bias'] += output.numel() * (module.bias is not None)
            elif isinstance(module, nn.Linear):
                counts['linear'] += output.numel() * module.in_features
            elif isinstance(module, _BatchNorm):
                counts['norm'] += 2 * output.numel()
                counts['stem_norm'] += 2 * output.numel() * (name == skip_norm)
            elif isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d)):
                counts['pool'] += inputs[0].numel()

        return count

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules()]
    try:
        with cpu_kernels.disabled(), counter as flops:
            run()
    finally:
        for handle in handles:
            handle.remove()
    c = counts
    board = c['conv'] + c['bias'] + c['norm'] - c['stem_norm'] + c['pool'] + c['relu']
    published = c['conv'] + c['linear'] + c['norm'] + c['pool']
    params = sum(p.numel() for p in model.parameters())
    return Cost(flops.get_total_flops() // 2, params, board, published)
