"""Banks of weights (GLOW blocks): how one that begins inherits from one that was trained."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = ('add', 'copy')


@torch.no_grad()
def inherit(new: nn.Module, old: nn.Module, norms: str = 'add') -> None:
    """Add to every parameter and buffer of ``new`` that of ``old``, in place.

    They are added, not copied: what ``new`` was drawn with stays as the difference between the
    two, and lets them part.

    Args:
        new, old (Module): Two banks of one kind.
        norms (str): 'add' (default), as published, does so with batch norm, too: variances begin
            at 1 plus those of ``old``, and where norms scale, so do the scales, with which a branch
            is about twice as strong as before. 'copy' copies these: they begin alike in all banks,
            so that there is no difference to keep.

    Raises:
        ValueError: If the two are not of one kind.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), weight inheritance; as released.
    """
    ours, theirs = _tensors(new), _tensors(old)
    shapes = [{name: value.shape for name, value in one.items()} for one in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f'a bank of {sorted(ours)} cannot inherit from one of {sorted(theirs)}')
    copied = _of_norms(new) if norms == 'copy' else set()
    for name, value in ours.items():
        if name in copied:
            value.copy_(theirs[name])
        else:
            value += theirs[name]


def _of_norms(module: nn.Module) -> set[str]:
    return {
        f'{prefix}.{name}' if prefix else name
        for prefix, part in module.named_modules()
        if isinstance(part, _BatchNorm)
        for name in _tensors(part)
    }


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict((*module.named_parameters(), *module.named_buffers()))
