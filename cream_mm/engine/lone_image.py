"""A last batch of a single image, of which batch norm can take no statistics.

Where maps are down to 1x1 pixel, as at 32 pixels and less, torch refuses it; where they are not, a
step by the statistics of one image is worth little.
"""

from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, DataLoader

from ..registry import type_name

_BY_SHAPE = 'AspectRatioBatchSampler'  # its last batches are of both shapes


def leave_lone_image_out(loader: DataLoader, model: nn.Module) -> None:
    """Give a training no batch of one image: it is left out, in each epoch another one.

    Nothing changes where batches are of one image throughout, or the model has no batch norm.

    Raises:
        ValueError: If ``drop_last`` leaves no batch at all.
    """
    batches = _plain_batches(loader)
    if batches is None:
        if _is_empty(loader):
            raise ValueError(
                f'no step in an epoch: its batches leave out all of the {len(loader.dataset)} '
                'images. Take a smaller batch_size, or drop_last=False'
            )
        return
    number, size = len(batches.sampler), batches.batch_size
    if batches.drop_last and number < size:
        raise ValueError(
            f'no step in an epoch: drop_last leaves out the only batch, as batch_size={size} is '
            f'more than the {number} images that there are for each process. Take '
            f'batch_size={number} or less, or drop_last=False'
        )
    has_norm = any(isinstance(module, _BatchNorm) for module in model.modules())
    if has_norm and not batches.drop_last and _ends_with_one(number, size):
        batches.drop_last = True
        print_log(
            f'{number} images in batches of {size}: the last batch would be a single image, of '
            'which batch norm can take no statistics. It is left out, in each epoch another one',
            'current',
        )


def spread_lone_image(loader: DataLoader) -> None:
    """Give a validation no batch of one image: batches are larger by one, and all images count."""
    batches = _plain_batches(loader)
    if batches is None or len(batches.sampler) < 2:
        return
    number = len(batches.sampler)
    while batches.batch_size == 1 or _ends_with_one(number, batches.batch_size):
        batches.batch_size += 1


def _is_empty(loader: DataLoader) -> bool:
    try:
        return len(loader) == 0
    except TypeError:  # without an end
        return False


def _ends_with_one(number: int, size: int) -> bool:
    return 1 < size < number and number % size == 1


def _plain_batches(loader: DataLoader) -> BatchSampler | None:
    """Batches of torch, and mmdet's by shape; of others, nobody knows how they end."""
    batches = getattr(loader, 'batch_sampler', None)
    is_known = type(batches) is BatchSampler or type_name(type(batches)) == _BY_SHAPE
    if not is_known or isinstance(batches.sampler, InfiniteSampler):
        return None
    return batches
