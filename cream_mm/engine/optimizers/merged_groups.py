"""Few parameter groups instead of one per parameter."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with parameters of equal settings in one group.

    With ``paramwise_cfg`` mmengine makes a group for each parameter. A supernet has thousands, and
    optimizer, schedulers and logger walk over every group at every step. A parameter that several
    modules share, as in mmdet's ``RetinaSepBNHead``, is there once: twice in a group it would be
    stepped twice.

    ``paramwise_cfg.rates`` is a factor on the learning rate by what a parameter's name begins with,
    ``{'backbone.blocks.0.': 0.4}``; the longest of them counts. Unlike ``custom_keys`` it leaves
    ``norm_decay_mult`` and ``bias_decay_mult`` in force.
    """

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:  # the default constructor calls itself for each child
            return
        self._set_rates(params, module)
        merged, seen = {}, set()
        for group in params:
            settings = tuple(sorted((k, v) for k, v in group.items() if k != 'params'))
            new = [param for param in group['params'] if id(param) not in seen]
            seen.update(map(id, new))
            if new:
                merged.setdefault(settings, []).extend(new)
        params[:] = [dict(settings, params=tensors) for settings, tensors in merged.items()]

    def _set_rates(self, params: list[dict], module: nn.Module) -> None:
        rates = self.paramwise_cfg.get('rates') or {}
        names = {id(param): name for name, param in module.named_parameters()}
        unused = set(rates)
        for group in params:
            name = names[id(group['params'][0])]
            for start in sorted((s for s in rates if name.startswith(s)), key=len)[-1:]:
                group['lr'] = group.get('lr', self.base_lr) * rates[start]
                unused.discard(start)
        if unused:
            raise ValueError(
                f'paramwise_cfg.rates: no parameter begins with {sorted(unused)}; names are '
                f'{list(names.values())[0]} ... {list(names.values())[-1]}'
            )
