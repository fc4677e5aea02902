"""Weight initialisation of Cream's networks."""

import math

import torch.nn as nn


def init_cream_weights(module: nn.Module) -> None:
    """Initialise every convolution, norm and linear layer below ``module``.

    Convolutions ~ N(0, sqrt(2 / fan_out)) with fan_out = k * k * out / groups, linear weights
    ~ U(-1, 1) / sqrt(out_features), norm layers 1, all biases 0.

    Reference:
        Cream, released code (the initialisation of EfficientNet).
    """
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            fan_out = m.kernel_size[0] * m.kernel_size[1] * m.out_channels // m.groups
            nn.init.normal_(m.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(m, nn.Linear):
            bound = 1.0 / math.sqrt(m.out_features)
            nn.init.uniform_(m.weight, -bound, bound)
        elif isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)):
            nn.init.ones_(m.weight)
        else:
            continue
        if m.bias is not None:
            nn.init.zeros_(m.bias)
