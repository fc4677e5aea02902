"""The whole of a comparison: each network trained where it has no record yet, then a table."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..config import load_config
from ..evaluation.bootstrap import quiet
from ..files import write_json
from .compare import EPOCHS, OFF_THE_SHELF, FinishedSearch, Network, Trainer
from .compare_record import FORMAT, difference
from .linear_probe import probe_sets

PROBE = Network('linear-probe', 'linear-probe', ())
CHOSEN_BY = (
    'note: the data has no images to validate on. Those that are tested on were held out of the '
    'training images, and the search chose by them: found comes out too good. For a fair '
    'comparison put images into val/, and search anew'
)


def compare_all(
    work_dir: str | Path,
    out: str | Path,
    *,
    root: str | Path,
    shares: Sequence[float],
    epochs: int = EPOCHS,
    seeds: int = 1,
    only: Sequence[str] | None = None,
    options: Sequence[str] = (),
    dry: bool = False,
    say: Callable[[str], None] = print,
) -> list[dict]:
    """Train what has no record, print a table, and write ``compare.json`` into ``out``.

    Args:
        work_dir (str | Path): Of the search.
        out (str | Path): A folder for each network.
        root (str | Path): The folder that holds ``configs/``.
        shares (Sequence[float]): Of the full network's MACs.
        epochs (int): Of each training. Defaults to 12.
        seeds (int): Trainings of each network. Defaults to 1.
        only (Sequence[str], optional): Names of networks, with the share or without.
        options (Sequence[str]): ``KEY=VALUE``, overrides of every training's config.
        dry (bool): Say what would be trained, and train nothing.
        say (callable): Takes lines for the user.

    Returns:
        list[dict]: The records, those of further seeds with them.

    Raises:
        OSError, ValueError: If the search is of another kind or not whole, or a training fails.
    """
    search = FinishedSearch(work_dir)
    _check_images(search.about.get('data_root'), options)
    every = search.networks(shares)
    networks = pick([*every, PROBE], only)
    jobs = [(one, seed) for seed in range(seeds) for one in networks]
    jobs = [(one, seed) for one, seed in jobs if seed == 0 or one.is_trained and one.slices]
    trainers = [
        Trainer(search, out, root=root, epochs=epochs, seed=seed, options=options, say=lambda _: 0)
        for seed in range(seeds)
    ]
    if dry:
        for one in networks:
            there = trainers[0].record(one) is not None
            say(f'{one.name:16s} {_about(search, one, epochs)}{"  (done)" if there else ""}')
        return []
    records, spent = [], []
    for i, (one, seed) in enumerate(jobs):
        trainer = trainers[seed]
        record = trainer.record(one)
        if record is None:
            left = sum(trainers[s].record(n) is None for n, s in jobs[i:])
            eta = f', {left} left: about {left * sum(spent) / len(spent):.0f} min' if spent else ''
            where = trainer.folder(one) / 'train.log' if one.is_trained and one.slices else None
            log = f', log in {where}' if where else ''
            say(f'[{i + 1}/{len(jobs)}] {trainer.folder(one).name}{eta}{log}')
            start = time.time()
            try:
                record = probe_record(trainer, every) if one is PROBE else trainer.run(one)
            except (OSError, ValueError) as error:
                if one is not PROBE:
                    raise
                # Hours of others are not lost by it.
                say(f'{one.name} is left out: {str(error).splitlines()[0]}')
                continue
            spent.append((time.time() - start) / 60)
            say(f'    top-1 {record["top1"]:.2f} %, cross entropy {record["ce"]:.4f}, '
                f'{spent[-1]:.1f} min')  # fmt: skip
        if one is PROBE and records and record['images'] != records[0]['images']:
            say(f'{one.name} is left out: it was tested on other images than the networks')
            continue
        if record.get('val_part') == 'holdout' and not any('val_part' in r for r in records):
            say(CHOSEN_BY)
        records.append(record)
    rows = summary(records)
    write_json(Path(out) / 'compare.json', dict(format=FORMAT, rows=rows))
    say('\n' + '\n'.join(table_lines(rows)))
    if any(record.get('val_part') == 'holdout' for record in records):
        say(CHOSEN_BY)
    say(f'all of it: {Path(out) / "compare.json"}')
    return records


def _check_images(data_root: str | None, options: Sequence[str]) -> None:
    """All networks are cut, trained and tested with the images of the search.

    Raises:
        FileNotFoundError: If they are gone.
        ValueError: If ``options`` name others.
    """
    if any(option.partition('=')[0].split('.')[-1] == 'data_root' for option in options):
        raise ValueError(
            'a comparison is on the images of its search: leave data_root out. Where they have '
            f'moved, put a link to them at {data_root}'
        )
    if data_root is not None and not Path(data_root).exists():
        raise FileNotFoundError(
            f'no {data_root}, where the images of the search were: put them, or a link to them, '
            'there, or call this from the folder that the search was called from'
        )


def pick(networks: Sequence[Network], only: Sequence[str] | None) -> list[Network]:
    """Those that are asked for by name, with the share or without.

    Raises:
        ValueError: If there is none of a name.
    """
    if not only:
        return list(networks)
    names = {name for one in networks for name in (one.name, one.kind)}
    if unknown := [name for name in only if name not in names]:
        raise ValueError(f'no network {unknown[0]}; there are {", ".join(sorted(names))}')
    return [one for one in networks if one.name in only or one.kind in only]


def probe_record(trainer: Trainer, networks: Sequence[Network]) -> dict:
    """The linear probe's record: on the images of all others, as large as the full network's."""
    search, folder = trainer.search, trainer.folder(PROBE)
    full = next(one for one in networks if one.kind == 'full')
    config, _ = trainer.export(full, full.slices[0], search.full, folder)
    with quiet(logging.WARNING):
        cfg = load_config(str(config))
    sets = (cfg[f'{side}_dataloader'].dataset for side in ('train', 'val'))
    record = probe_sets(*sets, input_size=search.costs.input_size[0])
    record.update(val_part=cfg.val_dataloader.dataset.get('part', 'all'))
    write_json(folder / 'record.json', record)
    return record


def summary(records: Sequence[Mapping]) -> list[dict]:
    """A row for each network: its means over the seeds, and found of its share less it."""
    groups: dict[str, list[Mapping]] = {}
    for record in records:
        groups.setdefault(record['name'], []).append(record)
    rows = []
    for name, own in groups.items():
        first = own[0]
        keys = ('name', 'kind', 'share', 'macs_m', 'params_m', 'input_size', 'full_macs_m',
                'epochs', 'num_images')  # fmt: skip
        row = {key: first.get(key) for key in keys}
        for key in ('top1', 'ce', 'minutes', 'cpu_s'):
            row[key] = sum(record[key] for record in own) / len(own)
        row['seeds'] = len(own)
        row['found_less_it'] = {}
        for other, found in groups.items():
            same_share = first['share'] in (None, found[0]['share'])
            if found[0]['kind'] == 'found' and other != name and same_share:
                number = min(len(found), len(own))
                told = [difference([found[:number]], [own[:number]], key)._asdict()
                        for key in ('top1', 'ce')]  # fmt: skip
                row['found_less_it'][other] = dict(top1=told[0], ce=told[1])
        rows.append(row)
    return rows


def table_lines(rows: Sequence[Mapping]) -> list[str]:
    """The rows as text, a difference of top-1 in points beside each."""
    head = f'{"network":16s} {"MACs":>6s} {"share":>6s} {"pixels":>6s} {"top-1":>6s} {"ce":>7s} '
    lines = [f'{head}{"minutes":>8s}  found less it, points of top-1 [95 %]']
    for row in rows:
        macs, whole = row['macs_m'], row['full_macs_m']
        cost = f'{macs:6.1f} {macs / whole:6.3f}' if macs and whole else f'{"":6s} {"":6s}'
        told = []
        for name, both in row['found_less_it'].items():
            one = both['top1']
            words = ', not decided' if one['low'] <= 0 <= one['high'] else ''
            name = f'{name}: ' if len(row['found_less_it']) > 1 else ''
            told.append(f'{name}{one["mean"]:+.1f} [{one["low"]:+.1f}, {one["high"]:+.1f}]{words}')
        lines.append(
            f'{row["name"]:16s} {cost} {row["input_size"] or "":>6} {row["top1"]:6.2f} '
            f'{row["ce"]:7.4f} {row["minutes"]:8.1f}  {"; ".join(told)}'.rstrip()
        )
    return lines


def _about(search: FinishedSearch, one: Network, epochs: int) -> str:
    """What would be trained, in words."""
    if not one.slices:
        return 'no training'
    if one.kind == OFF_THE_SHELF:
        return f'{epochs} epochs'
    costs = ' or '.join(f'{search.share_of(each):.3f}' for each in one.slices)
    long = f'{one.epochs or epochs} epochs' if one.is_trained else 'no training'
    return f'{costs} of the MACs, {long}'
