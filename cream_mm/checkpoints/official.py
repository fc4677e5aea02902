"""Weights of the released code, microsoft/Cream: their tensors, and the way from and to them.

Tensors are the same on both sides, names differ:

  released code                     cream_mm
  conv_stem, bn1, blocks            backbone.*
  conv_head, classifier             head.*
  meta_layer                        matching.fc
  blocks.3.4 of a deep supernet     -  built by the released code, selected by no path
  -                                 board.*  not part of the released checkpoints
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import torch
from torch import Tensor

from ..spaces import MBConvSpace, make_divisible
from ..structures import Arch

SPACE = MBConvSpace()
"""The one skeleton and the six choices of the released checkpoints."""

HEAD_CHANNELS = 1280
MAX_DEPTH = 4  # layers per stage of the released supernet

Shape = tuple[int, ...]
_LAYER = re.compile(r'blocks\.([0-9]{1,3})\.([0-9]{1,3})\.(?:([0-9]{1,3})\.)?(.+)')
_SPACE_NOTE = (
    "Cream's published space has width_mult=1 and six choices per layer: kernels 3, 5, 7 with "
    'expansions 4, 6'
)
_WIDER_NOTE = (
    "Cream's published space has 6 choices per layer; the wider ones of the released code "
    '(RESUNIT, DIL_CONV) are not supported'
)
COUNTER = '.num_batches_tracked'  # younger than some files; nothing depends on its value


@dataclass(frozen=True)
class OfficialLayout:
    """What an official checkpoint holds; it follows which tensors those are.

    Args:
        depths (tuple[int]): Layers per searchable stage.
        num_classes (int): Outputs of the classifier.
        arch (Arch, optional): The fixed network; None for a supernet.
        num_images (int, optional): Images per board entry that a supernet's matching network
            reads; None where there is no such network.
        has_dead_layer (bool): A supernet with 4 layers in stage 3 comes with a fifth one from
            the released code. No path selects it.
    """

    depths: tuple[int, ...]
    num_classes: int = 1000
    arch: Arch | None = None
    num_images: int | None = None
    has_dead_layer: bool = False

    @property
    def is_supernet(self) -> bool:
        return self.arch is None

    @property
    def space(self) -> MBConvSpace:
        """Cream's space with these depths."""
        return replace(SPACE, depths=self.depths)

    def shapes(self) -> dict[str, Shape]:
        """Every tensor's official name and shape, in the order of the released modules."""
        channels, depths = SPACE.stage_channels, list(self.depths)
        if self.has_dead_layer:
            depths[2] += 1
        inner = '0.0.' if self.is_supernet else '0.'  # the fixed blocks count as choice 0
        out = {'conv_stem.weight': (channels[0], SPACE.in_channels, 3, 3)}
        out |= _norm('bn1', channels[0])
        out |= _inside(f'blocks.0.{inner}', _depthwise_separable(channels[0]))
        for spec in SPACE.layers(depths):
            for choice in range(len(SPACE.choices)):
                block = _mbconv(spec.in_channels, spec.out_channels, choice)
                name = f'blocks.{spec.stage}.{spec.layer}.'
                if self.is_supernet:
                    out |= _inside(f'{name}{choice}.', block)
                elif self.arch.stages[spec.stage - 1][spec.layer] == choice:
                    out |= _inside(name, block)
        final = {'conv.weight': (channels[-1], channels[-2], 1, 1), **_norm('bn1', channels[-1])}
        out |= _inside(f'blocks.{SPACE.num_stages + 1}.{inner}', final)
        out |= _affine('conv_head', (HEAD_CHANNELS, channels[-1], 1, 1))
        out |= _affine('classifier', (self.num_classes, HEAD_CHANNELS))
        if self.num_images is not None:
            out |= _affine('meta_layer', (1, self.num_images * self.num_classes))
        return out

    def __str__(self) -> str:
        if self.is_supernet:
            return f'supernet of depths {list(self.depths)} with {self.num_classes} classes'
        return f'network {self.arch} with {self.num_classes} classes'


# ---- state dicts -------------------------------------------------------------------------------


def is_official(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the released code."""
    names = without_module(state_dict)
    return 'conv_stem.weight' in names and 'classifier.weight' in names


def infer_arch(state_dict: Mapping[str, Tensor]) -> OfficialLayout:
    """Which network or supernet official weights belong to; every name and shape is checked.

    Args:
        state_dict (dict): Weights under their official names; all may begin with ``module.``.

    Raises:
        ValueError: If they are none of Cream's, or not all of one network. Says what differs.
    """
    weights = without_module(state_dict)
    if any(name.startswith('backbone.') for name in weights):
        raise ValueError(
            "its names are cream_mm's already (backbone.*); the other way is to_official, on the "
            'command line --to official'
        )
    layout = _guess(weights, may_have_dead_layer=True)
    _check(weights, layout, str)
    return layout


def from_official(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], OfficialLayout]:
    """Official weights under cream_mm's names; the tensors are shared.

    The dead layer of a supernet is dropped (the layout still tells of it), absent
    ``num_batches_tracked`` become 0.

    Raises:
        ValueError: As :func:`infer_arch`.
    """
    weights = without_module(state_dict)
    layout = infer_arch(weights)
    kept = replace(layout, has_dead_layer=False).shapes()
    return {_to_ours(name): _get(weights, name) for name in kept}, layout


def read_ours(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], OfficialLayout]:
    """cream_mm's weights under official names, checked."""
    weights = without_module(state_dict)
    if is_official(weights):
        raise ValueError(
            'its names are official already; leave out --to official to convert it to cream_mm'
        )
    weights = {
        name: value
        for name, value in weights.items()
        if not name.startswith(('board.', 'data_preprocessor.'))
    }
    parts = list(dict.fromkeys(name.split('.')[0] for name in weights))
    if 'backbone' not in parts or 'head' not in parts:
        raise ValueError(
            'it is no classifier or search of cream_mm, but only these can be official: beside '
            'backbone.* they have head.conv_head.weight, head.conv_head.bias, '
            'head.classifier.weight and head.classifier.bias. A detector or a backbone alone has '
            f'no such head. The names here begin with {_some(parts)}'
        )
    renamed = {_to_theirs(name): value for name, value in weights.items()}
    layout = _guess(renamed, may_have_dead_layer=False)
    _check(renamed, layout, _to_ours)
    return renamed, layout


# ---- names -------------------------------------------------------------------------------------


def _to_ours(name: str) -> str:
    if name.startswith('meta_layer.'):
        return 'matching.fc.' + name.removeprefix('meta_layer.')
    inside = 'head' if name.startswith(('conv_head.', 'classifier.')) else 'backbone'
    return f'{inside}.{name}'


def _to_theirs(name: str) -> str:
    for theirs, start in (('meta_layer.', 'matching.fc.'), ('', 'backbone.'), ('', 'head.')):
        if name.startswith(start):
            renamed = theirs + name.removeprefix(start)
            return renamed if _to_ours(renamed) == name else f'?{name}'
    return f'?{name}'  # no official name begins so: reported as unexpected


def without_module(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors only, without the prefix that parallel training leaves."""
    weights = {k: v for k, v in state_dict.items() if isinstance(v, Tensor)}
    if not all(isinstance(name, str) for name in weights):
        raise ValueError('it is not a Cream checkpoint: some of its tensors have no name')
    while weights and all(name.startswith('module.') for name in weights):
        weights = {name.removeprefix('module.'): v for name, v in weights.items()}
    return weights


def _get(weights: Mapping[str, Tensor], name: str) -> Tensor:
    return weights[name] if name in weights else torch.zeros((), dtype=torch.int64)


# ---- shapes ------------------------------------------------------------------------------------


def _inside(prefix: str, shapes: dict[str, Shape]) -> dict[str, Shape]:
    return {prefix + name: shape for name, shape in shapes.items()}


def _affine(name: str, weight: Shape) -> dict[str, Shape]:
    return {f'{name}.weight': weight, f'{name}.bias': weight[:1]}


def _norm(name: str, channels: int) -> dict[str, Shape]:
    vectors = ('weight', 'bias', 'running_mean', 'running_var')
    return {**{f'{name}.{v}': (channels,) for v in vectors}, name + COUNTER: ()}


def _gate(channels: int) -> dict[str, Shape]:
    reduced = make_divisible(channels * 0.25)
    return {
        **_affine('se.conv_reduce', (reduced, channels, 1, 1)),
        **_affine('se.conv_expand', (channels, reduced, 1, 1)),
    }


def _depthwise_separable(channels: int) -> dict[str, Shape]:
    return {
        'conv_dw.weight': (channels, 1, 3, 3),
        **_norm('bn1', channels),
        **_gate(channels),
        'conv_pw.weight': (channels, channels, 1, 1),
        **_norm('bn2', channels),
    }


def _mbconv(in_channels: int, out_channels: int, choice: int) -> dict[str, Shape]:
    kernel, expand = SPACE.choices[choice]
    mid = make_divisible(in_channels * expand)
    return {
        'conv_pw.weight': (mid, in_channels, 1, 1),
        **_norm('bn1', mid),
        'conv_dw.weight': (mid, 1, kernel, kernel),
        **_norm('bn2', mid),
        **_gate(mid),
        'conv_pwl.weight': (out_channels, mid, 1, 1),
        **_norm('bn3', out_channels),
    }


# ---- recognising -------------------------------------------------------------------------------


def _guess(weights: Mapping[str, Tensor], *, may_have_dead_layer: bool) -> OfficialLayout:
    """The layout that fits best; how well it fits is left to :func:`_check`."""
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    blocks = defaultdict(lambda: defaultdict(dict))  # (stage, layer) -> choice -> name -> shape
    for name, shape in shapes.items():
        if match := _LAYER.fullmatch(name):
            stage, layer, choice, rest = match.groups()
            if 1 <= int(stage) <= SPACE.num_stages:
                blocks[int(stage), int(layer)][choice][rest] = shape
    if not blocks:
        raise ValueError(
            f'it is not a Cream checkpoint: none of its {len(shapes)} tensors is in a blocks.1.0; '
            f'it holds {_some(list(shapes))}'
        )
    found = Counter(stage for stage, _ in blocks)
    depths = [max(1, found[stage]) for stage in range(1, SPACE.num_stages + 1)]
    # Counted, not taken from the largest index: one forged name makes no billion layers.
    num_choices = Counter(len(set(block) - {None}) for block in blocks.values())
    num_choices = num_choices.most_common(1)[0][0]
    classes = shapes.get('classifier.weight') or shapes.get('classifier.bias') or (1000,)
    num_classes = classes[0]
    if num_classes < 2:
        raise ValueError(f'its classifier has {num_classes} outputs; a Cream network has 2 or more')
    if not num_choices:
        stages = [[] for _ in depths]
        for (stage, layer), block in sorted(blocks.items()):
            stages[stage - 1].append(_best_choice(stage, layer, block[None]))
        arch = Arch(tuple(tuple(stage or [0]) for stage in stages))
        return OfficialLayout(arch.depths, num_classes, arch)

    if num_choices != len(SPACE.choices):
        raise ValueError(
            f'it holds a supernet with {num_choices} choices per layer. '
            f'{_WIDER_NOTE if num_choices > len(SPACE.choices) else _SPACE_NOTE}'
        )
    dead = may_have_dead_layer and depths[2] == MAX_DEPTH + 1
    depths[2] -= dead
    if max(depths) > MAX_DEPTH:
        raise ValueError(
            f'it holds a supernet of depths {depths}; the released code builds at most '
            f'{MAX_DEPTH} layers per stage'
        )
    num_images = None
    if any(name.startswith('meta_layer.') for name in shapes):
        features = (shapes.get('meta_layer.weight') or (0,))[-1]
        num_images = max(1, round(features / num_classes))
    return OfficialLayout(tuple(depths), num_classes, None, num_images, bool(dead))


def _best_choice(stage: int, layer: int, block: dict[str, Shape]) -> int:
    """The choice whose tensors agree best with those of a block, so that one flaw stays one."""
    spec = next(
        s for s in SPACE.layers([2] * SPACE.num_stages) if (s.stage, s.layer) == (stage, layer > 0)
    )
    options = [
        _mbconv(spec.in_channels, spec.out_channels, choice) for choice in range(len(SPACE.choices))
    ]
    is_wider = block.get('conv_pw.weight', (0,))[:1] == (8,)  # DIL_CONV: expansion 0, 8 channels
    if is_wider or not any(name.startswith(('conv_', 'se.')) for name in block):
        raise ValueError(f'blocks.{stage}.{layer} is none of the known choices. {_WIDER_NOTE}')
    fits = [sum(block.get(name) == shape for name, shape in o.items()) for o in options]
    return fits.index(max(fits))


def _check(
    weights: Mapping[str, Tensor], layout: OfficialLayout, rename: Callable[[str], str]
) -> None:
    """Compare all names and shapes.

    Raises:
        ValueError: With the number of differences of each kind, and the first ones.
    """
    expected = layout.shapes()
    missing = [
        f'missing     {rename(name)}  {_text(shape)}'
        for name, shape in expected.items()
        if name not in weights and not name.endswith(COUNTER)
    ]
    unexpected = [
        f'unexpected  {_shown(name[1:] if name[:1] == "?" else rename(name))}  {_text(value.shape)}'
        for name, value in weights.items()
        if name not in expected
    ]
    wrong = []
    for name, shape in expected.items():
        value = weights.get(name)
        if value is None:
            continue
        if tuple(value.shape) != shape:
            wrong.append(
                f'shape       {rename(name)}  {_text(value.shape)}, expected {_text(shape)}'
            )
        elif not value.is_floating_point() and not name.endswith(COUNTER):
            wrong.append(f'type        {rename(name)}  {value.dtype}, expected floating point')
    total = len(missing) + len(wrong) + len(unexpected)
    if not total:
        return
    # In turn, so that a long list of one kind does not hide the others.
    mixed = [line for line in chain(*zip_longest(missing, wrong, unexpected)) if line][:5]
    if total > len(mixed):
        mixed.append(f'and {total - len(mixed)} more')
    is_other = len(missing) + len(wrong) > len(expected) / 2
    raise ValueError(
        (f'it is no checkpoint of a Cream network ({_SPACE_NOTE}); ' if is_other else '')
        + f'it comes closest to the {layout}, {len(expected)} tensors, but with {len(missing)} '
        f'missing, {len(wrong)} different and {len(unexpected)} unexpected:\n  '
        + '\n  '.join(mixed)
    )


def _some(names: list[str]) -> str:
    shown = [_shown(name) for name in names[:4]] or ['nothing']
    return ', '.join(shown + ['...'] * (len(names) > 4))


def _shown(name: str) -> str:
    """A name from outside on one short line, without control characters."""
    return ascii(name)[1:-1][:80]


def _text(shape) -> str:
    return 'x'.join(map(str, shape)) or 'scalar'
