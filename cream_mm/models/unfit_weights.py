"""Refuses weights of other shapes where they would leave a layer as it was allocated."""

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from .backbones import FixedNetwork


def refuse_unfit(module: BaseModule, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Hook of a model around a :class:`FixedNetwork`, before it loads a state dict.

    mmengine loads what fits and prints the rest. A model that is to be trained was initialised
    before, and a new head keeps that; inference initialises nothing, so that a head of another
    number of classes would answer at random.

    Raises:
        ValueError: If the model was not initialised and a tensor has another shape.
    """
    if module.is_init:
        return
    wrong = [
        (name, tuple(state_dict[prefix + name].shape), tuple(value.shape))
        for name, value in module.state_dict().items()
        if isinstance(state_dict.get(prefix + name), Tensor)
        and state_dict[prefix + name].shape != value.shape
    ]
    if wrong:
        name, theirs, ours = wrong[0]
        raise ValueError(
            f'the checkpoint is not one of this config: {name} is {theirs} in the file and {ours} '
            f'in the model ({len(wrong)} such tensors). A training takes the number of classes '
            'from its data: open the config that it wrote into its work_dir, beside the checkpoint'
        )


def _watch(module: nn.Module, name: str, submodule: nn.Module | None) -> None:
    if isinstance(submodule, FixedNetwork) and isinstance(module, BaseModule):
        module._register_load_state_dict_pre_hook(refuse_unfit, with_module=True)


# A backbone does not know the model around it; torch tells whenever one becomes part of another.
register_module_module_registration_hook(_watch)
