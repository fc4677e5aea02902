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
from ..models.layers import SqueezeExcite
from ..ops import cpu_kernels


@torch.no_grad()
def count_model(
    model: nn.Module, run: Callable[[], None], skip_norm: str = '', published: str = 'cream'
) -> Cost:
    """Cost of one forward.

    Args:
        model (nn.Module): The model.
        run (callable): Runs it once, on one image.
        skip_norm (str): Name of the stem's norm layer, which ``board_flops`` does not count.
        published (str): Whose counter ``published_flops`` is, see ``published_flops`` of the
            spaces; 'macs' where nobody published another.

    Returns:
        Cost: ``macs`` as torch's own counter has it; the other two by layer type.
    """
    counts = Counter()
    gates = [module for module in model.modules() if isinstance(module, SqueezeExcite)]
    gate_pools = {id(gate.pool) for gate in gates}
    hard_gates = {id(gate.conv_expand) for gate in gates if gate.hard}

    def relu(shape, *args, **kwargs):  # an operator, because the networks call it without a module
        counts['relu'] += math.prod(shape)
        return 0

    def relu6(shape, *args, **kwargs):
        if counts['hard_gates']:  # the next one is the gate's own, which ptflops did not see
            counts['hard_gates'] -= 1
            return 0
        return relu(shape)

    aten = torch.ops.aten
    operators = {aten.relu: relu, aten.relu_: relu, aten.hardtanh: relu6, aten.hardtanh_: relu6}
    counter = FlopCounterMode(display=False, custom_mapping=operators)

    def hook(name):
        def count(module, inputs, output):
            if isinstance(module, nn.modules.conv._ConvNd):
                per_output = module.weight[0].numel()
                counts['conv'] += output.numel() * per_output
                counts['bias'] += output.numel() * (module.bias is not None)
                counts['hard_gates'] += id(module) in hard_gates
            elif isinstance(module, nn.Linear):
                counts['linear'] += output.numel() * module.in_features
                counts['linear_bias'] += output.numel() * (module.bias is not None)
            elif isinstance(module, _BatchNorm):
                counts['norm'] += 2 * output.numel()
                counts['stem_norm'] += 2 * output.numel() * (name == skip_norm)
            elif isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d)):
                counts['pool'] += inputs[0].numel()
                counts['gate_pool'] += inputs[0].numel() * (id(module) in gate_pools)

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
    macs = flops.get_total_flops() // 2
    papers = c['conv'] + c['linear'] + c['norm'] + c['pool']
    if published == 'dna':
        papers += c['bias'] - c['gate_pool']
    elif published == 'macs':
        board = papers = macs
    elif published == 'nas_bench_201':
        board, papers = macs, c['conv'] + c['bias'] + c['linear'] + c['linear_bias']
    params = sum(p.numel() for p in model.parameters())
    return Cost(macs, params, board, papers)
