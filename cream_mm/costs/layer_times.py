"""Times of layers by what they are, wherever they stand: what tables of other devices hold.

A row is a layer as :meth:`CostTable.layer_table` names it, with its time. What it does not say
beyond what it has to (``REQUIRED``) is as it may be.
"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

ALIASES = dict(
    conv3x3='stem', first_conv='stem', ds_conv='dsconv', mb_conv='mbconv',
    inverted_residual='mbconv', expanded_conv='mbconv', fc='linear', classifier='linear',
    skip='identity',
)  # fmt: skip
"""Other names of the kinds of layers, in lower case."""

REQUIRED = dict(
    stem=('out_channels', 'stride'),
    dsconv=('in_channels', 'out_channels'),
    mbconv=('kernel', 'expand', 'in_channels', 'out_channels', 'stride'),
    conv1x1=('in_channels', 'out_channels', 'stride'),
    pool=('in_channels',),
    linear=('in_channels', 'out_channels'),
    head=('in_channels',),
    fixed=(),
)
"""What a row of each kind says, beside ``in_size`` or ``out_size``."""

OPTIONAL = (
    'in_channels',
    'out_channels',
    'kernel',
    'expand',
    'stride',
    'head_channels',
    'se',
    'act',
)
"""What a row may say besides, and then has to be so."""

UNSIZED = ('linear', 'fixed')  # no map goes in
SIZES = ('in_size', 'out_size')


class MissingTimes(ValueError):
    """Layers that a space has and a table of times has not.

    Attributes:
        layers (list[str]): Each of them, as in the message.
    """

    def __init__(self, layers: Sequence[str]):
        self.layers = list(layers)
        count = f'{len(self.layers)} layer{"s" * (len(self.layers) > 1)}'
        super().__init__(
            f'the table of times has no row for {count} that the space needs:\n  '
            + '\n  '.join(self.layers)
        )


def kind_of_layer(op: str) -> str:
    """The kind that a name of a layer means, a key of ``REQUIRED`` or a name of another one."""
    name = op.strip().lower().replace('-', '_').replace(' ', '_')
    return ALIASES.get(name, name)


class LayerTimes:
    """A table of rows, looked up by layer.

    Args:
        rows (Sequence[Mapping]): ``op``, the entries of ``REQUIRED``, ``in_size`` or
            ``out_size``, and ``latency_ms``. Kinds that no space has are passed over.

    Raises:
        ValueError: With the number of the row, from 1, that lacks an entry.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]):
        self._rows: dict[tuple, list[tuple[int, dict]]] = {}
        self.used: set[int] = set()  # numbers of the rows that were asked for
        self.fixed_ms = 0.0
        for number, row in enumerate(rows, start=1):
            kind = kind_of_layer(str(row.get('op', '')))
            time = row.get('latency_ms')
            if isinstance(time, bool) or not isinstance(time, Real) or not 0 <= time < 1e9:
                raise ValueError(f'row {number}: latency_ms is {time!r}, not milliseconds')
            if kind == 'fixed':
                self.fixed_ms += float(time)
                self.used.add(number)
            if kind not in REQUIRED or kind == 'fixed':
                continue
            missing = [key for key in REQUIRED[kind] if row.get(key) is None]
            if kind not in UNSIZED and all(row.get(key) is None for key in SIZES):
                missing.append('in_size')
            if missing:
                raise ValueError(f'row {number} ({row["op"]}) has no {", ".join(missing)}')
            entry = dict(row, op=kind)
            for key in SIZES:
                if entry.get(key) is not None:
                    entry[key] = _pair(entry[key])
            if entry.get('se') is not None:
                entry['se'] = bool(entry['se'])
            self._rows.setdefault(_key(entry), []).append((number, entry))
        self.kinds = {key[0] for key in self._rows}

    def find(self, layer: Mapping[str, Any]) -> float | None:
        """Milliseconds of a layer; None if no row is of it.

        Raises:
            ValueError: If rows of different times are of it.
        """
        fits = [
            (number, row)
            for number, row in self._rows.get(_key(layer), [])
            if all(
                row.get(key) is None or layer.get(key) is None or row[key] == layer[key]
                for key in (*OPTIONAL, *SIZES)
            )
        ]
        if len({row['latency_ms'] for _, row in fits}) > 1:
            first, one = fits[0]
            second, other = next(fit for fit in fits if fit[1]['latency_ms'] != one['latency_ms'])
            raise ValueError(
                f'rows {first} and {second} are both {named(layer)}, with {one["latency_ms"]:g} '
                f'and {other["latency_ms"]:g} ms'
            )
        self.used.update(number for number, _ in fits)
        return float(fits[0][1]['latency_ms']) if fits else None


def named(layer: Mapping[str, Any]) -> str:
    """A layer as an error names it: ``mbconv kernel=3 expand=6 ... in_size=112x112``."""
    keys = ('kernel', 'expand', 'in_channels', 'head_channels', 'out_channels', 'stride', 'se')
    told = [f'{key}={layer[key]}' for key in keys if layer.get(key) is not None]
    if layer.get('in_size') is not None and layer['op'] not in UNSIZED:
        told.append('in_size={}x{}'.format(*layer['in_size']))
    return ' '.join([layer['op'], *told])


def times_of_layers(
    rows: Sequence[Mapping[str, Any]] | LayerTimes,
    *,
    first: Sequence[Mapping],
    last: Sequence[Mapping],
    head: Sequence[Mapping],
    describe: Callable[[int, int, int], dict],
    depths: Sequence[int],
    num_choices: int,
    input_size: tuple[int, int],
    settings: Mapping[str, Any],
) -> dict:
    """The times of a space from a table of layers, nested as ``CostTable``'s ``latency`` is.

    An identity that changes nothing takes no time, by rule. A head is one row of kind ``head``,
    or those of its parts.

    Args:
        rows: The table.
        first, last, head (Sequence[Mapping]): What every network has before its choices, behind
            them, and as its classifier, in rows of ``layer_table``.
        describe (callable): ``describe(stage, layer, choice)`` gives such a row; stages from 1.
        depths (Sequence[int]): Layers of each stage.
        num_choices (int): Choices at each layer.
        input_size (tuple[int, int]): Image height and width in pixels.
        settings (Mapping): What all blocks share and a row may say: ``se``, ``act``.

    Returns:
        dict: ``fixed_ms`` and ``choices_ms``.

    Raises:
        MissingTimes: With all layers that the table has no row for.
        ValueError: If rows contradict each other.
    """
    table = rows if isinstance(rows, LayerTimes) else LayerTimes(rows)
    missing: dict[str, None] = {}

    def time(layer: Mapping, size: tuple[int, int]) -> float:
        entry = dict(layer, op=kind_of_layer(layer['op']), in_size=tuple(size))
        entry['out_size'] = tuple(layer['out_size'])
        if entry['op'] == 'identity':
            return 0.0
        if entry['op'] in ('mbconv', 'dsconv'):
            entry.update(settings)
        found = table.find(entry)
        if found is None:
            missing[named(entry)] = None
        return found or 0.0

    size, fixed = tuple(input_size), table.fixed_ms
    for layer in first:
        fixed += time(layer, size)
        size = tuple(layer['out_size'])
    choices: list[list[list[float]]] = []
    for stage, depth in enumerate(depths, start=1):
        choices.append([])
        for layer in range(depth):
            cells = [describe(stage, layer, choice) for choice in range(num_choices)]
            choices[-1].append([time(cell, size) for cell in cells])
            size = tuple(cells[0]['out_size'])
    for layer in last:
        fixed += time(layer, size)
    if head and 'head' in table.kinds:
        # Behind a hidden layer that has no norm the map is pooled before it.
        hidden = head[0]['out_channels'] if head[0]['name'] == 'conv_head' else 0
        whole = dict(op='head', in_channels=head[0]['in_channels'], head_channels=hidden,
                     out_channels=head[-1]['out_channels'], out_size=(1, 1))  # fmt: skip
        fixed += time(whole, size)
    else:
        for layer in head:
            is_pooled = tuple(layer['out_size']) == (1, 1) and layer['op'] != 'pool'
            fixed += time(layer, (1, 1) if is_pooled else size)
    if missing:
        raise MissingTimes(list(missing))
    return dict(fixed_ms=fixed, choices_ms=choices)


def _key(layer: Mapping[str, Any]) -> tuple:
    return layer['op'], *(layer.get(key) for key in REQUIRED.get(layer['op'], ()))


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, (list, tuple)):
        if len(size) != 2:
            raise ValueError(f'a size is one side or height and width; got {size!r}')
        return int(size[0]), int(size[1])
    return int(size), int(size)
