"""What an ONNX file of ours says of itself: task, classes, how an image is prepared, outputs.

It is JSON under one key of the file's own metadata, so that it travels with the file.
docs/deploy.md lists the fields.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import kind_of

if TYPE_CHECKING:
    from onnx import ModelProto

KEY = 'cream_mm'
FORMAT = 1
TASKS = ('classification', 'multi-label', 'maps', 'detection')
_NEEDED = ('task', 'classes', 'input', 'normalisation', 'resize', 'outputs', 'weights')


def write_about(model: 'ModelProto', about: Mapping[str, Any]) -> None:
    """Put what is said of a model into its metadata; other keys stay as they are.

    Args:
        model (ModelProto): Changed in place.
        about (dict): As docs/deploy.md describes; ``format`` is added.

    Raises:
        ValueError: If a field is missing, or the task is unknown.
    """
    _write(model, _checked({'format': FORMAT, **about}, 'the metadata'))


def add_to_about(model: 'ModelProto', **fields: Any) -> None:
    """Put more fields into what is said of a model; one that says nothing stays as it is.

    Args:
        model (ModelProto): Changed in place.
        **fields: By their names; they replace those of the same name.
    """
    for prop in model.metadata_props:
        if prop.key == KEY:
            return _write(model, {**json.loads(prop.value), **fields})


def _write(model: 'ModelProto', content: Mapping[str, Any]) -> None:
    others = [(prop.key, prop.value) for prop in model.metadata_props if prop.key != KEY]
    del model.metadata_props[:]
    for key, value in (*others, (KEY, json.dumps(content))):
        model.metadata_props.add(key=key, value=value)


def read_about(path: str | os.PathLike) -> dict[str, Any]:
    """What an ONNX file says of itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX file, or not one of ours, or of a later version.
    """
    import onnx

    if not Path(path).is_file():
        raise FileNotFoundError(f'no ONNX file {path}')
    try:
        model = onnx.load(os.fspath(path), load_external_data=False)
    except Exception as error:  # protobuf's own kinds, which differ with its version
        raise ValueError(f'{path} is no ONNX file: {error}') from error
    text = next((prop.value for prop in model.metadata_props if prop.key == KEY), None)
    if text is None:
        raise ValueError(
            f'{path} has no metadata of {KEY}: export it with tools/export_onnx.py, or name one '
            'that was'
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f'{path}: the metadata of {KEY} is no JSON: {error}') from error
    return _checked(content, path)


def _checked(content: Any, where: str | os.PathLike) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        found = content.get('format') if isinstance(content, dict) else None
        raise ValueError(f'{where} has format {found}; this version reads {FORMAT}: export it anew')
    if missing := [key for key in _NEEDED if key not in content]:
        raise ValueError(f'{where} lacks {", ".join(missing)}')
    if content['task'] not in TASKS:
        raise ValueError(f'{where}: task is one of {", ".join(TASKS)}; got {content["task"]!r}')
    return content


# ---- how an image becomes the input --------------------------------------------------------------

_NO_PIXELS = ('PackInputs', 'PackDetInputs', 'LoadAnnotations')  # these leave the image as it is


def resize_of(
    pipeline: Sequence[Mapping[str, Any]],
    *,
    divisor: int = 1,
    value: Sequence[float] = (0, 0, 0),
) -> dict[str, Any]:
    """How the steps of a test pipeline change the size of an image, for who has no mmcv.

    Args:
        pipeline (Sequence[dict]): Steps of a config.
        divisor (int): Sides become a multiple of it at last, by pixels on the right and below:
            ``pad_size_divisor`` of the data preprocessor. Defaults to 1.
        value (Sequence[float]): (R, G, B), 0 to 255, of these pixels.

    Returns:
        dict: ``mode``: 'short_edge' (the shorter side becomes ``size``, the other one is
        ``int(size * long / short)``), 'keep_ratio' (as large as fits into ``size``, turned as the
        image is; sides rounded), 'stretch' (to ``size``), or 'none'. ``size``: a number, or [H, W].
        ``interpolation``: 'bilinear' or 'bicubic'. ``backend``: 'pillow' (antialiased) or 'cv2'
        (not). ``crop``: [H, W] of the middle, or None. ``pad``: dict of ``divisor``, ``value``
        (R, G, B) and ``to``, [H, W] or None; on the right and below.

    Raises:
        ValueError: If there is a step that these words cannot describe.

    >>> edge = dict(type='ResizeEdge', scale=256, backend='pillow')
    >>> crop = dict(type='CenterCrop', crop_size=224)
    >>> steps = [dict(type='LoadImageFromFile'), edge, crop, dict(type='PackInputs')]
    >>> found = resize_of(steps)
    >>> found['mode'], found['size'], found['backend'], found['crop']
    ('short_edge', 256, 'pillow', [224, 224])
    """
    found: dict[str, Any] = dict(
        mode='none', size=None, interpolation='bilinear', backend='pillow', crop=None,
        pad=dict(divisor=int(divisor), value=[float(v) for v in value], to=None),
    )  # fmt: skip
    last = ''  # step that changed the size: they come in the order resize, crop, pad, or not at all
    for step in pipeline:
        kind = kind_of(step)
        if kind.startswith('LoadImage') or kind in _NO_PIXELS:
            continue
        if kind in ('Resize', 'ResizeEdge') and not last:
            found |= _resize(kind, step)
        elif kind == 'CenterCrop' and last in ('', 'Resize', 'ResizeEdge'):
            if step.get('auto_pad'):
                raise _unknown(kind, 'auto_pad=True')
            found['crop'] = _size(step['crop_size'], turned=True)
        elif kind == 'Pad' and last in ('', 'Resize', 'ResizeEdge', 'CenterCrop'):
            found['pad'] |= _pad(step, found['pad'])
        else:
            raise _unknown(kind, f'behind {last}' if last else '')
        last = kind
    return found


def _resize(kind: str, step: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(
        interpolation=step.get('interpolation', 'bilinear'), backend=step.get('backend', 'cv2')
    )
    if found['interpolation'] not in ('bilinear', 'bicubic'):
        raise _unknown(kind, f'interpolation={found["interpolation"]!r}')
    if found == dict(interpolation='bicubic', backend='cv2'):
        raise _unknown(kind, "interpolation='bicubic' with backend='cv2'")
    if kind == 'ResizeEdge':
        if step.get('edge', 'short') != 'short':
            raise _unknown(kind, f'edge={step["edge"]!r}')
        return dict(found, mode='short_edge', size=int(step['scale']))
    if step.get('scale') is None:
        raise _unknown(kind, 'scale_factor')
    mode = 'keep_ratio' if step.get('keep_ratio') else 'stretch'
    return dict(found, mode=mode, size=_size(step['scale'], turned=True))


def _pad(step: Mapping[str, Any], pad: Mapping[str, Any]) -> dict[str, Any]:
    if step.get('pad_to_square') or step.get('padding_mode', 'constant') != 'constant':
        raise _unknown('Pad', 'pad_to_square or another padding_mode')
    colour = step.get('pad_val', 0)
    colour = colour.get('img', 0) if isinstance(colour, Mapping) else colour
    # Images are loaded as BGR.
    colour = [colour] * 3 if isinstance(colour, (int, float)) else list(colour)[::-1]
    if step.get('size') is None:
        to, divisor = None, int(step.get('size_divisor') or 1)
        if divisor % pad['divisor']:  # then there would be two colours
            raise _unknown('Pad', f'size_divisor={divisor}, no multiple of {pad["divisor"]}')
    else:
        to, divisor = _size(step['size'], turned=True), 1
        if any(side % pad['divisor'] for side in to):
            raise _unknown('Pad', f'size={tuple(step["size"])}, no multiple of {pad["divisor"]}')
    return dict(to=to, divisor=divisor, value=[float(v) for v in colour])


def _size(size: int | Sequence[int], turned: bool) -> list[int]:
    """[H, W]; OpenMMLab's own are (W, H)."""
    sides = [size, size] if isinstance(size, int) else list(size)
    return [int(side) for side in (sides[::-1] if turned else sides)]


def _unknown(kind: str, what: str) -> ValueError:
    what = f' with {what}' if what and not what.startswith('behind') else f' {what}'.rstrip()
    return ValueError(
        f'the test pipeline has the step {kind}{what}, which the metadata of an ONNX file cannot '
        'describe'
    )
