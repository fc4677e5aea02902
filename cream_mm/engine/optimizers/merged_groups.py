"""Few parameter groups instead of one per parameter."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with parameters of equal settings in one group.

    With ``paramwise_cfg`` mmengine makes a group for each parameter. A supernet has thousands, and
    optimizer, schedulers and logger walk over every group at every step.
    """

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:  # the default constructor calls itself for each child
            return
        merged = {}
        for group in params:
            settings = tuple(sorted((k, v) for k, v in group.items() if k != 'params'))
            merged.setdefault(settings, []).extend(group['params'])
        params[:] = [dict(settings, params=tensors) for settings, tensors in merged.items()]
