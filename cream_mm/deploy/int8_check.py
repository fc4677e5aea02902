"""What int8 costs and gives: accuracy and latency of a file before and after."""

import importlib.metadata
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..apis.time_networks import time_beside
from ..environment import processor_name
from .calibration import CalibrationImages
from .rate import rate
from .runtimes import onnxruntime_session

MAX_DROP = 1.0
VNNI = ('avx512_vnni', 'avx_vnni', 'asimddp')
"""Flags of processors that add products of 8 bits without an overflow; the last one is ARM's."""


def compare_int8(
    before: str | Path,
    after: str | Path,
    cfg: Config,
    about: Mapping[str, Any],
    *,
    number: int | None = None,
    max_drop: float = MAX_DROP,
    calibrated_on_all: bool = False,
    threads: int = 1,
) -> dict[str, Any]:
    """Rate and time a file and its int8 version, as onnxruntime runs them by default.

    Args:
        before, after (str | Path): The files.
        cfg (Config): Of the training; its validation set rates them.
        about (dict): What the file says of itself.
        number (int, optional): Images of the validation set. Defaults to all.
        max_drop (float): Percentage points that int8 may lose. Defaults to 1.
        calibrated_on_all (bool): Whether no training image is left for the calibration. Defaults
            to False.
        threads (int): For the latency. Defaults to 1.

    Returns:
        dict: ``metric``, ``images``, ``pct`` and ``ms`` and ``mb`` (each before and after),
        ``drop``, ``max_drop``, ``good``, ``calibrated_on_all``, ``rated_on_all``, ``threads``,
        ``processor``, ``runtime``.
    """
    files = [Path(before), Path(after)]
    runs = [onnxruntime_session(file, threads=threads) for file in files]
    rated = [rate(run, cfg, about, number) for run in runs]
    image = next(iter(CalibrationImages(cfg, about, 1)))
    # What others take of the core does not count; of several threads it would count each.
    clock = time.process_time if threads == 1 else time.perf_counter
    (timing,) = time_beside([lambda: runs[1](image)], lambda: runs[0](image), clock=clock)
    drop = rated[0].pct - rated[1].pct
    return dict(
        metric=rated[0].name, images=rated[0].images, pct=[r.pct for r in rated],
        drop=round(drop, 4), max_drop=max_drop, good=drop <= max_drop,
        calibrated_on_all=calibrated_on_all, rated_on_all=number is None,
        ms=[round(timing.reference_ms, 3), round(timing.reference_ms * timing.ratio, 3)],
        mb=[round(file.stat().st_size / 1e6, 2) for file in files],
        input=list(image.shape), threads=threads, processor=processor_name(), vnni=has_vnni(),
        runtime=f'onnxruntime {importlib.metadata.version("onnxruntime")}',
    )  # fmt: skip


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The table of :func:`compare_int8`, and the verdict."""
    pct, ms, mb = found['pct'], found['ms'], found['mb']
    rows = [
        (found['metric'], '%', pct, f'{pct[1] - pct[0]:+.2f} points, {found["images"]} images'),
        ('latency', 'ms', ms, f'{ms[0] / ms[1]:.2f} times as fast'),
        ('file', 'MB', mb, f'{100 * mb[1] / mb[0]:.0f} % of it'),
    ]
    lines = [f'{"int8":12} {"float32":>11} {"int8":>11}']
    for name, unit, (before, after), more in rows:
        lines.append(f'{name:12} {before:8.2f} {unit:2} {after:8.2f} {unit:2}  {more}')
    size = ' x '.join(map(str, found['input']))
    threads = found['threads']
    lines.append(
        f'{"":12} {found["runtime"]}, {found["processor"]}, {threads} '
        f'{"thread" if threads == 1 else "threads"}, {size}'
    )
    if found['good']:
        lines.append(f'good         at most {found["max_drop"]:g} points may be lost (--max-drop)')
        return lines
    tries = '; '.join(_remedies(found))
    remedies = f'Try {tries}; or use' if tries else 'Use'
    lines.append(
        f'NOT GOOD     int8 loses {found["drop"]:.2f} points, more than {found["max_drop"]:g} '
        f'(--max-drop). {remedies} the float32 file, which is there, too'
    )
    return lines


def _remedies(found: Mapping[str, Any]) -> list[str]:
    """What is left to be tried: nothing that was done already."""
    words = [] if found['calibrated_on_all'] else ['more images (--int8 1000)']
    if not found['vnni']:
        words.append(
            'weights of 7 bits (--int8-bits 7): this processor has no VNNI, and sums of 8 bits '
            'overflow'
        )
    if (one := 100 / found['images']) > found['max_drop']:
        more = 'a larger validation set' if found['rated_on_all'] else 'more --check-images'
        words.append(f'{more}: one of {found["images"]} is {one:.2f} points')
    return words


def has_vnni() -> bool:
    """Whether the processor says that it has such instructions."""
    try:
        words = set(Path('/proc/cpuinfo').read_text().split())
    except OSError:
        return True  # not known: no advice
    return not words.isdisjoint(VNNI)
