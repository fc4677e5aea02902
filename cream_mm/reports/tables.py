"""Rows of the tables of a report."""

import re
from collections.abc import Sequence
from itertools import groupby

from .arch_diagram import cell_numbers, group_key
from .formats import format_size, format_stages
from .style import kernel_color

MAX_ROWS, MAX_CELLS = 200, 20_000  # of the board; of more, the first are shown


def cost_table(layers: list[dict], stated_macs_m: float | None) -> dict | None:
    """A row per layer with its share of the MACs, and totals; None without layers.

    Args:
        layers (list[dict]): "layers" of ``best_arch.json``.
        stated_macs_m (float, optional): What the file says of the whole, in millions.
    """
    if not layers:
        return None
    total = sum(layer.get('macs') or 0 for layer in layers)
    params = sum(layer.get('params') or 0 for layer in layers)
    top = max(layer.get('macs') or 0 for layer in layers)
    fields = dict.fromkeys(
        ('name', 'op', 'kernel', 'expand', 'in_channels', 'out_channels', 'stride')
    )
    rows, previous = [], object()
    for layer in _joined(layers):
        macs, group = layer.get('macs') or 0, group_key(layer)
        rows.append(
            dict(
                fields | layer,
                size=format_size(layer.get('out_size')),
                macs_m=macs / 1e6,
                share=100 * macs / total if total else 0.0,
                bar=100 * macs / top if top else 0.0,
                params_k=(layer.get('params') or 0) / 1e3,
                latency_ms=layer.get('latency_ms'),
                color=kernel_color(layer.get('kernel')),
                starts_group=group != previous,
            )
        )
        previous = group
    known = stated_macs_m is not None
    differs = known and abs(total / 1e6 - stated_macs_m) > 0.005 * stated_macs_m
    return {
        'rows': rows,
        'num_layers': len(layers),
        'macs_m': total / 1e6,
        'params_k': params / 1e3,
        'is_timed': any(row['latency_ms'] is not None for row in rows),
        'stated': stated_macs_m if differs else None,
    }


def _joined(layers: list[dict]) -> list[dict]:
    """One row in place of alike operations in equal cells; free ones are left out there."""
    joined = []
    for kind, part in groupby(layers, key=lambda row: (row.get('cell'), group_key(row))):
        part = list(part)
        if not kind[0]:
            joined += part
            continue
        first, last = cell_numbers(part) or (0, 0)
        name = f'cell {first}, {kind[0]}' if first == last else f'cells {first}-{last}, {kind[0]}'
        alike: dict[tuple, list[dict]] = {}
        for row in part:
            if row.get('macs') or row.get('params'):
                alike.setdefault((row.get('op'), row.get('stride')), []).append(row)
        for (op, _), rows in alike.items():
            edges = sum(bool(row.get('edge')) for row in rows)
            joined.append(
                dict(
                    rows[0],
                    name=name,
                    op=f'{edges} × {op}' if edges == len(rows) > 1 else op,
                    in_channels=_same(rows, 'in_channels'),
                    macs=sum(row.get('macs') or 0 for row in rows),
                    params=sum(row.get('params') or 0 for row in rows),
                )
            )
    return joined


def _same(rows: list[dict], key: str) -> float | None:
    """What an entry of all rows is; None where they differ."""
    first, *others = {row.get(key) for row in rows}
    return None if others else first


def board_rows(
    entries: list[dict],
    choices: list,
    chosen: list[list[int]],
    notes: list[str],
    *,
    words: Sequence[str] = (),
    fixed_ends: bool = True,
) -> list[dict]:
    """Board entries, best first, each with a strip of coloured cells for its layers.

    Args:
        entries (list[dict]): Of ``board.json``.
        choices (list): What each choice means, ``[kernel, expansion]`` or a word.
        chosen (list[list[int]]): The answer's architecture.
        notes (list[str]): What is left out is added.
        words (Sequence[str]): See :attr:`Space.choice_words`.
        fixed_ends (bool): Whether the first and the last list stand for what is not chosen.
    """
    meanings = {i: choice for i, choice in enumerate(choices) if isinstance(choice, list)}
    for i, word in enumerate(words):
        if kernel := re.fullmatch(r'(\d)×\1', word):
            meanings[i] = int(kernel[1]), None
    rows, cells = [], 0
    entries = sorted(entries, key=lambda e: e.get('rank') or 0)
    for entry in entries:
        arch = entry.get('arch') or []
        cells += sum(map(len, arch))
        if len(rows) == MAX_ROWS or cells > MAX_CELLS:
            notes.append(
                f'Board: the {len(entries) - len(rows)} paths after the first {len(rows)}.'
            )
            break
        strip, x = [], 0
        for stage in arch[1:-1] if fixed_ends else arch:
            for choice in stage:
                kernel, expand = meanings.get(choice, (None, None))
                height = 4 * min(expand or 2, 6)
                strip.append({'x': x, 'height': height, 'color': kernel_color(kernel)})
                x += 9
            x += 5
        rows.append(
            {
                'rank': entry.get('rank'),
                'stages': format_stages(arch, words),
                'strip': strip,
                'width': max(x, 1),
                'train_top1_pct': entry.get('train_top1_pct'),
                'macs_m': entry.get('macs_m'),
                'params_m': entry.get('params_m'),
                'latency_ms': entry.get('latency_ms'),
                'top1_pct': entry.get('top1_pct'),
                'chosen': bool(arch) and arch == chosen,
            }
        )
    return rows
