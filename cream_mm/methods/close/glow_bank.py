"""Banks of weights (GLOW blocks): how one that begins inherits from one that was trained."""

import torch
from torch import nn


@torch.no_grad()
def inherit(new: nn.Module, old: nn.Module) -> None:
    """Add to every parameter and buffer of ``new`` that of ``old``, in place.

    They are added, not copied: what ``new`` was drawn with stays as the difference between the
    two, and lets them part. So is what norms have counted and measured: variances begin at 1 plus
    those of ``old``.

    Raises:
        ValueError: If the two are not of one kind.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), weight inheritance; as released.
    """
    ours, theirs = _tensors(new), _tensors(old)
    shapes = [{name: value.shape for name, value in one.items()} for one in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f'a bank of {sorted(ours)} cannot inherit from one of {sorted(theirs)}')
    for name, value in ours.items():
        value += theirs[name]


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict((*module.named_parameters(), *module.named_buffers()))
