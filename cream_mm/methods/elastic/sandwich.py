"""One step of the optimizer for several paths of a supernet."""

from collections.abc import Sequence
from contextlib import nullcontext

from mmengine.runner import Runner
from torch import Tensor

from ...engine.distributed import unwrap
from ...engine.path_data_parallel import PathDataParallel
from ...structures import Arch


def sandwich_step(runner: Runner, archs: Sequence[Arch], data: dict) -> dict[str, Tensor]:
    """Mean of the losses of several paths on one batch; the first one teaches the others.

    The first learns from the labels alone. Its outputs of this very step then teach the others,
    where the model can be taught (``taught_by``, as a ``DistilledClassifier``); else all learn from
    the labels. Only one path's graph is in memory at a time.

    Args:
        runner (Runner): Its optimizer steps, and its model is left at the last of the paths.
        archs (Sequence[Arch]): The full path first.
        data (dict): A batch of the data loader.

    Returns:
        dict: What the last path has to log.

    Raises:
        ValueError: If gradients are accumulated over several batches.

    Reference:
        The sandwich rule and in-place distillation: Yu and Huang, Universally Slimmable Networks
        (ICCV 2019).
    """
    model, wrapper = unwrap(runner.model), runner.optim_wrapper
    if wrapper._accumulative_counts > 1:
        raise ValueError(
            "paths='sandwich' takes one step for each batch: leave accumulative_counts out of the "
            "optim_wrapper, or take paths='random'"
        )
    can_be_taught = hasattr(model, 'taught_by')
    batch, logits = None, None
    for arch in archs:
        model.backbone.set_arch(arch)
        with wrapper.optim_context(runner.model):
            if batch is None:
                batch = model.data_preprocessor(data, True)
            with model.taught_by(logits) if can_be_taught else nullcontext():
                losses = runner.model(**batch, mode='loss')
        loss, outputs = model.parse_losses(losses)
        wrapper.backward(wrapper.scale_loss(loss / len(archs)))
        if logits is None and can_be_taught:
            logits = model.logits
    if isinstance(runner.model, PathDataParallel):
        runner.model.reduce_gradients()
    wrapper.step()
    wrapper.zero_grad()
    return outputs
