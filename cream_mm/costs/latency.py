"""Measured times of the networks of a space, as costs take them. Plain values; no file here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .layer_times import named

MAX_ERROR_PCT, MIN_TAU = 10.0, 0.9
"""Of predictions against measured networks: beyond these a table is said to be a rough one."""

MAX_LAYER_MS, MIN_LAYER_MS = 100.0, 0.001
"""A layer that takes more, or less: then the unit is in doubt."""

UNITS = dict(ms=1.0, us=1e-3, s=1e3)
"""Milliseconds in each unit of a file."""


class LatencyTable(NamedTuple):
    """Times of the networks of one space at one image size, or of layers by what they are.

    Attributes:
        input_size (tuple[int, int], optional): Image height and width; None where each of
            ``rows`` says its size.
        batch (int, optional): Images at once, whose time together it is; None: not known.
        dtype (str, optional): What it was measured in; None: not known.
        head (str, optional): 'classifier', or None for a backbone alone; ``rows`` serve both.
        num_classes, head_channels (int, optional): Of the classifier that was measured.
        fixed_ms (float), choices_ms (list): See :class:`CostTable`.
        rows (list[dict], optional): In their place, see :class:`LayerTimes`.
        check (dict, optional): How predictions met measured networks: ``mean_error_pct``,
            ``tau``.
    """

    input_size: tuple[int, int] | None = None
    batch: int | None = 1
    dtype: str | None = 'float32'
    head: str | None = 'classifier'
    num_classes: int | None = None
    head_channels: int | None = None
    fixed_ms: float = 0.0
    choices_ms: list | None = None
    rows: list[dict] | None = None
    check: dict | None = None

    def for_costs(self) -> dict:
        """The argument ``latency`` of :func:`build_cost_model`."""
        if self.rows is not None:
            return dict(rows=self.rows)
        return dict(fixed_ms=self.fixed_ms, choices_ms=self.choices_ms)

    def told(self) -> str:
        """What it is of, for a message."""
        size = 'any size' if self.input_size is None else '{}x{}'.format(*self.input_size)
        head = 'a backbone alone' if self.head is None else 'with a classifier'
        head = 'layers' if self.choices_ms is None and self.input_size is None else head
        batch = 'not told' if self.batch is None else self.batch
        return f'{size}, {head}, batch {batch}, {self.dtype or "dtype not told"}'

    def doubts(self) -> list[str]:
        """Sentences on what looks wrong in it, or was not looked at."""
        found = []
        times = list(self._times())
        for what, wrong in (
            (f'more than {MAX_LAYER_MS:g} ms', [t for t in times if t[1] > MAX_LAYER_MS]),
            (f'less than {1e3 * MIN_LAYER_MS:g} us', [t for t in times if 0 < t[1] < MIN_LAYER_MS]),
        ):
            if wrong:
                (name, time), count = wrong[0], len(wrong)
                found.append(
                    f'{count} of {len(times)} layers take {what}, the first {time:g} ms '
                    f'({name}): is the unit right?'
                )
        check = self.check
        if self.rows is not None and check is None:
            found.append('no whole network was compared with its sums')
        elif check is None:
            found.append(
                'its predictions were not compared with measured networks: tools/latency.py check '
                'does it'
            )
        else:
            error, tau = check.get('mean_error_pct'), check.get('tau')
            bad_error = error is not None and error > MAX_ERROR_PCT
            bad_tau = tau is not None and tau < MIN_TAU
            if bad_error or bad_tau:
                told = [f'are {error:.1f} % off on average'] * (error is not None)
                told += [f'rank them with tau={tau:.2f}'] * (tau is not None)
                found.append(f'its predictions of measured networks {" and ".join(told)}: rough')
        return found

    def _times(self) -> Iterator[tuple[str, float]]:
        for row in self.rows or ():
            yield named(row), row['latency_ms']
        for stage, layers in enumerate(self.choices_ms or (), start=1):
            for layer, times in enumerate(layers):
                for choice, time in enumerate(times):
                    yield f'choice {choice} of layer {layer} in stage {stage}', time


def pick_table(
    tables: Sequence[LatencyTable],
    input_size: tuple[int, int],
    head: str | None,
    batch: int,
    dtype: str,
) -> LatencyTable | None:
    """The table of networks at a size, with a classifier or without, batch and dtype.

    What a table does not tell is taken as it is asked for. None if there is none.
    """
    for table in tables:
        fits_size = table.input_size in (None, tuple(input_size))
        fits_head = table.rows is not None and table.input_size is None or table.head == head
        fits_run = table.batch in (None, batch) and table.dtype in (None, dtype)
        if fits_size and fits_head and fits_run:
            return table
    return None


def no_such_table(
    tables: Sequence[LatencyTable],
    input_size: tuple[int, int],
    head: str | None,
    batch: int,
    dtype: str,
) -> str:
    """Where :func:`pick_table` found none: what was asked for, and what there is."""
    asked = LatencyTable(input_size, batch, dtype, head, choices_ms=[])
    known = '; '.join(table.told() for table in tables)
    return f'no times of {asked.told()}; it has: {known}'


def machine_words(machine: Mapping[str, Any]) -> str:
    """Where times are from: ``AMD EPYC 7763 with onnxruntime, 2 threads``."""
    words = str(machine.get('processor') or machine.get('device') or 'a machine without a name')
    if machine.get('backend'):
        words += f' with {machine["backend"]}'
    threads = machine.get('threads')
    if threads:
        words += f', {threads} thread{"s" * (threads != 1)}'
    return words
