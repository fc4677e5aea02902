"""Mean and deviation of the images, which belong to the weights: a config gets those of its own.

Weights that get other images than those of their training lose points without an error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

from ..registry import type_name
from .carry import entries

Say = Callable[[str], None]

# Keys of augmentations whose value is a colour: what is erased, or left empty by a shift.
FILLS = (
    'fill_color', 'pad_val', 'fill_in', 'fill', 'fill_val', 'img_fill_val', 'img_border_value',
    'border_val', 'img_pad_value', 'img',
)  # fmt: skip


def fit_images(cfg: Config, options: Mapping[str, Any], say: Say) -> None:
    """Normalise the images as those that the weights of a config were trained on, in place.

    The weights are those of ``load_from``, else of ``model.backbone.init_cfg``; what their images
    were is known of published networks, and of files that hold a run's config or lie beside an
    ``arch.json``. A file that cannot be read is left to whoever loads it.

    Args:
        cfg (Config): Of any model with a ``data_preprocessor`` that normalises.
        options (dict): What was given beside the config, dotted keys.
        say (Callable): Called with a line if something is changed.

    Raises:
        ValueError: If ``options`` ask for another normalisation.
    """
    model = cfg.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('backbone'), dict):
        return
    init = model['backbone'].get('init_cfg')
    inits = init if isinstance(init, (list, tuple)) else [init]
    files = [i.get('checkpoint') for i in inits if isinstance(i, Mapping) and _is_file(i)]
    name = cfg.get('load_from') or next((file for file in files if file), None)
    if not isinstance(name, str):
        return
    from .start_file import images_of  # with torch

    images = images_of(name)
    if images is not None:
        put_images(cfg, images, name, options, say)


def put_images(
    cfg: Config, wanted: Mapping, name: str, options: Mapping[str, Any], say: Say
) -> None:
    """Put a normalisation into a config, in place, and into augmentations that fill with the mean.

    Args:
        cfg (Config): With ``model.data_preprocessor``; one that does not normalise is left so.
        wanted (dict): ``mean``, ``std``, ``to_rgb``.
        name (str): Of the weights that were trained so.
        options, say: As of :func:`fit_images`.

    Raises:
        ValueError: If ``options`` ask for another one.
    """
    images = cfg.model.get('data_preprocessor') or {}
    if images.get('mean') is None:
        return
    flag = 'bgr_to_rgb' if 'bgr_to_rgb' in images else 'to_rgb'
    own = dict(mean=list(images['mean']), std=list(images.get('std') or []),
               to_rgb=bool(images.get(flag)))  # fmt: skip
    if len(own['mean']) == 1:
        return  # grey
    wrong = [key for key in own if not _same(own[key], wanted[key])]
    if not wrong:
        return
    told = ', '.join(f'{key}={wanted[key]}' for key in wrong)
    place = 'model.data_preprocessor'
    keys = [place, *(f'{place}.{flag if key == "to_rgb" else key}' for key in wrong)]
    if asked := [key for key in keys if key in options]:
        raise ValueError(
            f'{asked[0]}: the weights of {name} were trained with {told}; leave it out, and the '
            'images are normalised so'
        )
    old, new = in_bgr(own, 'to_rgb'), in_bgr(wanted, 'to_rgb')
    for key in wrong:
        images[flag if key == 'to_rgb' else key] = wanted[key]
    refill({k: v for k, v in cfg._cfg_dict.items() if k != 'model'}, old, new)
    before = ', '.join(f'{key}={own[key]}' for key in wrong)
    say(
        f'model.data_preprocessor: {told}, as the weights of {name} were trained with; the config '
        f'has {before}'
    )


def _is_file(init: Mapping) -> bool:
    return type_name(init.get('type')) in ('Pretrained', 'PretrainedInit')


def _same(own: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return own == wanted
    return len(own) == len(wanted) and all(abs(a - b) < 0.01 for a, b in zip(own, wanted))


# ---- colours -------------------------------------------------------------------------------------


def in_bgr(preprocessor: Mapping, flag: str) -> tuple[list, list] | None:
    """Mean and deviation in the order of the loaded image, whose channels are BGR."""
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean is None or std is None:
        return None
    step = -1 if preprocessor.get(flag) else 1
    return list(mean)[::step], list(std)[::step]


def refill(node: Any, old: tuple[list, list] | None, new: tuple[list, list] | None) -> None:
    """Augmentations fill with the mean: erased boxes, and what a rotation leaves empty.

    Args:
        node (dict): A config, or a part of it; changed in place.
        old (tuple, optional): Mean and deviation, BGR, that its colours were made from. Without
            them, no colour is one.
        new (tuple, optional): What they are to be; None for images that are not normalised.
    """
    if old is None:
        return
    mean, std = new or ([127.5] * 3, [58.0] * 3)
    rounded = [round(x) for x in old[0]]
    for holder, key in list(entries(node)):
        value = holder[key]
        if not isinstance(value, (list, tuple)):
            continue
        whole = all(isinstance(x, int) for x in value)
        if key in FILLS and whole and list(value) == rounded:
            holder[key] = type(value)(round(x) for x in mean)
        elif key in FILLS and list(value) == old[0]:
            holder[key] = type(value)(mean)
        elif key == 'fill_std' and list(value) == old[1]:
            holder[key] = type(value)(std)
        elif key == 'mean' and 'type' in holder:
            # A step such as mmdet's Expand turns the mean around by a flag of its own.
            step = -1 if holder.get('to_rgb', True) else 1
            if list(value)[::step] == old[0]:
                holder[key] = type(value)(mean[::step])
