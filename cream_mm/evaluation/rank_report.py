"""The whole comparison of a list of scores with a table: numbers, text, and a scatter plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..spaces import Space
from ..structures import Arch
from .accuracy_table import TableRow
from .proxies import num_layers
from .rank_correlation import COEFFICIENTS, compare, precisions, regret, top_k_precision

RANK_FORMAT = 'cream_mm.rank_correlation/1'
# Scores that cost no training, which a ranking has to beat; the last only where it was computed.
BASELINES = dict(macs='MACs', params='params', layers='layers', naswot='NASWOT')


class RankReport:
    """Scores of some networks of a table against their true accuracy, beside baselines.

    The baselines are MACs, parameters, the number of layers that are no identity, and NASWOT.

    Args:
        scores (Sequence[float]): Of ``rows``, higher is better.
        rows (Sequence[TableRow]): The networks that have a score.
        table (Sequence[TableRow]): All networks, for the best possible pick.
        space (Space): Their search space.
        budgets (Sequence[float]): MMACs within which the best is picked. Defaults to the 25, 50
            and 75 % quantiles of the table.
        above (Sequence[float]): Adds subsets: true accuracy of at least each value.
        without (Sequence[str]): Adds subsets: networks without a choice, an index or 'identity'.
        others (dict[str, Sequence[float]], optional): Other scores of ``rows`` by name, compared
            in the same way.
        naswot (Sequence[float], optional): :func:`naswot_scores` of ``rows``. None leaves this
            baseline out.
        **bootstrap: See :func:`compare`.

    Raises:
        ValueError: If there are fewer than two networks, or a choice is unknown.
    """

    def __init__(
        self,
        scores: Sequence[float],
        rows: Sequence[TableRow],
        table: Sequence[TableRow],
        space: Space,
        *,
        budgets: Sequence[float] = (),
        above: Sequence[float] = (),
        without: Sequence[str] = (),
        others: dict[str, Sequence[float]] | None = None,
        naswot: Sequence[float] | None = None,
        **bootstrap: Any,
    ):
        if len(rows) < 2:
            raise ValueError(f'a correlation needs at least 2 networks; got {len(rows)}')
        self.scores = np.asarray(scores, dtype=float)
        self.truth, self.macs_m, self.params_m = _columns(rows)
        table_truth, table_macs, _ = _columns(table)
        others = {name: np.asarray(values, dtype=float) for name, values in (others or {}).items()}
        scorings = dict(score=self.scores, **others, macs=self.macs_m, params=self.params_m)
        scorings['layers'] = np.array([num_layers(row.arch, space) for row in rows], dtype=float)
        if naswot is not None:
            scorings['naswot'] = np.asarray(naswot, dtype=float)
        self.names = tuple(scorings)
        self.baselines = tuple(name for name in BASELINES if name in scorings)

        masks = dict(all=np.ones(len(rows), dtype=bool))
        for bound in above:
            masks[f'accuracy >= {bound:g}'] = self.truth >= bound
        for choice in without:
            index = _choice(choice, space)
            lacks = [index not in _named(space, row.arch) for row in rows]
            masks[f'without {choice}'] = np.array(lacks)
        self.subsets = {}
        for name, mask in masks.items():
            part = {key: values[mask] for key, values in scorings.items()}
            truth, macs = self.truth[mask], self.macs_m[mask]
            self.subsets[name] = dict(
                num=int(mask.sum()), **compare(part, truth, baselines=self.baselines, **bootstrap)
            )
            ks = dict.fromkeys((10, max(1, round(0.05 * len(truth)))))
            self.subsets[name]['top_k_precision'] = {
                f'{k}': {key: top_k_precision(values, truth, macs, k)
                         for key, values in part.items()}
                for k in ks if k <= len(truth)
            }  # fmt: skip
            self.subsets[name]['precision'] = {
                key: precisions(values, truth, macs) for key, values in part.items()
            }

        self.regret = {}
        for budget in budgets or np.quantile(table_macs, (0.25, 0.5, 0.75)).tolist():
            if not (table_macs <= budget).any():
                raise ValueError(
                    f'no network of the table costs at most {budget:g} M; the cheapest has '
                    f'{table_macs.min():.2f} M'
                )
            inside = self.macs_m <= budget
            self.regret[f'{budget:.6g}'] = dict(
                num_scored=int(inside.sum()),
                random=None if not inside.any() else float(
                    table_truth[table_macs <= budget].max() - self.truth[inside].mean()
                ),
                **{
                    key: regret(values, self.truth, self.macs_m, table_truth, table_macs, budget)
                    for key, values in scorings.items()
                },
            )  # fmt: skip

    def to_dict(self) -> dict:
        """As plain JSON values."""
        return dict(
            format=RANK_FORMAT, num=len(self.scores), subsets=self.subsets, regret=self.regret
        )

    def text(self) -> str:
        """The numbers as tables in Markdown."""
        less = ' | less that of '.join(BASELINES[name] for name in self.baselines)
        lines = [
            '| networks | n | scored by | Kendall tau-b | Spearman | Pearson | tau less that of '
            f'{less} | top-k precision |',
            '|' + '---|' * (7 + len(self.baselines)),
        ]
        for name, subset in self.subsets.items():
            for key in self.names:
                cells = [_cell(subset[key][c]) for c in COEFFICIENTS]
                cells += [_cell(subset[key].get(f'kendall_minus_{b}')) for b in self.baselines]
                tops = subset['top_k_precision'].items()
                cells.append(', '.join(f'{v[key]:.2f} (k={k})' for k, v in tops))
                lines.append(f'| {name} | {subset["num"]} | {key} | ' + ' | '.join(cells) + ' |')
        for side in ('top', 'bottom'):
            found = {key: self.subsets['all']['precision'][key][side] for key in self.names}
            shares = list(found['score'])
            if not shares:
                continue
            lines += ['', f'| of all, precision at the {side} | {" % | ".join(shares)} % |',
                      '|' + '---|' * (1 + len(shares))]  # fmt: skip
            for key, values in found.items():
                cells = ' | '.join(f'{value:.3f}' for value in values.values())
                lines.append(f'| {key} | {cells} |')
        names = ' | '.join(self.names)
        lines += ['', f'| budget M | scored | regret: {names} | random pick | best |',
                  '|' + '---|' * (4 + len(self.names))]  # fmt: skip
        for budget, entry in self.regret.items():
            cells = [f'{entry[k]["regret"]:.2f}' if entry[k] else '' for k in self.names]
            cells.append('' if entry['random'] is None else f'{entry["random"]:.2f}')
            cells.append(f'{entry["score"]["best"]:.2f}' if entry['score'] else '')
            lines.append(f'| {budget} | {entry["num_scored"]} | ' + ' | '.join(cells) + ' |')
        return '\n'.join(lines)

    def plot(self, path: str | Path, *, score_label: str = 'top-1 in the supernet, %') -> None:
        """Write the scatter plot as a PNG."""
        from matplotlib.figure import Figure  # no pyplot: no display, no global state

        overall = self.subsets['all']
        figure = Figure(figsize=(6.4, 4.8), layout='constrained')
        axes = figure.add_subplot()
        size = 28 if len(self.scores) <= 1000 else 8
        points = axes.scatter(
            self.scores, self.truth, c=self.macs_m, s=size, alpha=0.8, cmap='viridis', linewidths=0
        )
        figure.colorbar(points, ax=axes, label='MACs, millions')
        axes.set_xlabel(score_label)
        axes.set_ylabel('accuracy when trained alone, %')
        tau = _cell(overall['score']['kendall'])
        alone = [f'{BASELINES[b]} {_value(overall[b]["kendall"])}' for b in self.baselines]
        axes.set_title(
            f'Kendall tau-b {tau}   (n = {overall["num"]})\nalone: {", ".join(alone)}',
            fontsize=10,
        )
        axes.grid(alpha=0.25)
        x_view, y_view = _view(self.scores), _view(self.truth)
        axes.set(xlim=x_view, ylim=y_view)
        seen = (self.scores >= x_view[0]) & (self.truth >= y_view[0])
        if not seen.all():
            note = f'{(~seen).sum()} of the worst lie outside'
            axes.text(0.98, 0.02, note, ha='right', fontsize=8, transform=axes.transAxes)
        figure.savefig(path, dpi=130)


def _view(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis: a few bad networks must not press the good ones into a corner."""
    top, bottom = values.max(), values.min()
    common = np.quantile(values, 0.01)
    if top - bottom > 2 * (top - common):
        bottom = common
    margin = 0.04 * (top - bottom) or 1.0
    return bottom - margin, top + margin


def _columns(rows: Sequence[TableRow]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True accuracy, MMACs and millions of parameters, (n,) each."""
    return tuple(np.array([row[i] for row in rows], dtype=float) for i in (1, 2, 3))


def _named(space: Space, arch: Arch) -> set[int]:
    """Choices at positions where a choice is what names say; of a network of other depths, all."""
    flat = space.encode(arch)
    places = space.named_positions if len(flat) == len(space.sizes) else range(len(flat))
    return {flat[place] for place in places}


def _choice(choice: str, space: Space) -> int:
    names = {**{str(i): i for i in range(max(space.sizes))}, **space.named_choices}
    if str(choice) not in names:
        raise ValueError(f'no choice {choice!r} in {space.name!r}; it has {", ".join(names)}')
    return names[str(choice)]


def _value(entry: dict) -> str:
    return '-' if entry['value'] is None else f'{entry["value"]:.3f}'


def _cell(entry: dict | None) -> str:
    if entry is None or entry['value'] is None:
        return ''
    low, high = entry['interval']
    return f'{entry["value"]:.3f} [{low:.3f}, {high:.3f}]'
