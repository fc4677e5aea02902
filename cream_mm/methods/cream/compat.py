"""Which reading of Cream a search follows: the released code, the paper, or the repaired method."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

_VALUES = dict(
    sampling=('uniform', 'op_prob'),
    budget=('ignored', 'enforced'),
    admission=('gap_or_cheaper', 'better_and_cheaper'),
    board_cost=('board_flops', 'macs'),
    ties=('costlier', 'cheaper'),
    duplicates=('kept', 'refreshed'),
    board_targets=('teacher', 'own'),
    rate=('last', 'best'),
    matching_grad=('kept', 'none'),
    matching_batch=('per_entry', 'joint'),
    norm_stats=('updated', 'untouched'),
    meta_images=('batch', 'held_out'),
    meta_gradient=('stem', 'path'),
    meta_step=('real', 'virtual'),
    meta_count=('epoch', 'run'),
    unsampled=('decayed', 'still'),
    answer=('board', 'effects'),
)


@dataclass(frozen=True)
class Compat:
    """Every point in which the readings of Cream differ, as a named option.

    In a config: ``compat='official'``, or a mode with changes,
    ``compat=dict(mode='official', rate='best')``. docs/cream.md has the table with reasons.

    Args:
        mode (str): ``'official'``, the released code's semantics wherever they run; ``'paper'``,
            the paper's rules where it states them, the released code's elsewhere; ``'fixed'``,
            the default. It decides the options that are not given.
        sampling: ``'op_prob'`` uses the sampler's probabilities of choices; ``'uniform'``
            ignores them, as the released code does by a slip.
        budget: ``'enforced'`` on sampled paths and on the board, or ``'ignored'`` by both; the
            answer at the end obeys it either way.
        admission: A full board admits a path that beats the worst entry and is cheaper
            (``'better_and_cheaper'``), or also one that beats it by ``score_gap`` points
            (``'gap_or_cheaper'``).
        board_cost: Count by which the board compares costs.
        ties: Which of two entries of equal score stands higher.
        duplicates: An architecture met again is a further entry (``'kept'``), or renews its own.
        board_targets: Soft targets stored with an entry: the path's own, or its teacher's.
        rate: ``'best'``: sigmoid(score) of the picked entry. ``'last'``: sigmoid(-score) of the
            board's last entry, whichever was picked.
        matching_grad: ``'kept'``: the main loss also differentiates the rate, through all
            matching forwards, into student and matching network.
        matching_batch: Matching forwards of each entry alone (BN sees its few images), or of
            all entries in one batch.
        norm_stats: Whether matching and teaching forwards move BN's running statistics.
        meta_images: The held-out images of a meta step are a set of their own, or the next
            images of the same training batch.
        meta_gradient: Path parameters through which the meta gradient flows: all, or the stem's
            convolution alone.
        meta_step: ``'virtual'`` changes the matching network only. ``'real'`` also steps the
            student, with the main optimizer, and takes the meta gradient at its new weights.
        meta_count: The interval of meta steps counts within each epoch, or over the run.
        unsampled: ``'decayed'``: momentum and weight decay go on moving paths that were not
            sampled (zero gradients). ``'still'``: they stay (no gradients).
        answer: The path that the search ends with. ``'board'``: the best-rated of the board.
            ``'effects'``: the one within the budget whose training effects are best, unless its
            rating vetoes it; the board's where the training's log says too little.

    Raises:
        ValueError: If a mode, option or value is unknown; the message lists the known ones.
    """

    mode: str
    sampling: str
    budget: str
    admission: str
    board_cost: str
    ties: str
    duplicates: str
    board_targets: str
    rate: str
    matching_grad: str
    matching_batch: str
    norm_stats: str
    meta_images: str
    meta_gradient: str
    meta_step: str
    meta_count: str
    unsampled: str
    answer: str

    @classmethod
    def build(cls, cfg: 'str | Mapping | Compat') -> 'Compat':
        """Make one from ``'official'`` or ``dict(mode='official', rate='best')``."""
        if isinstance(cfg, cls):
            return cfg
        options = dict(cfg) if isinstance(cfg, Mapping) else dict(mode=cfg)
        mode = options.pop('mode', 'fixed')
        if not isinstance(mode, str) or mode not in _MODES:
            raise ValueError(f'compat mode is one of {", ".join(_MODES)}; got {mode!r}')
        for name, value in options.items():
            if name not in _VALUES:
                raise ValueError(f'compat has no option {name!r}; it knows {", ".join(_VALUES)}')
            if value not in _VALUES[name]:
                known = ' or '.join(map(repr, _VALUES[name]))
                raise ValueError(f'compat option {name} is {known}; got {value!r}')
        return replace(_MODES[mode], **options)

    def to_dict(self) -> dict:
        """All options as plain values."""
        return asdict(self)


_OFFICIAL = Compat('official', **{name: values[0] for name, values in _VALUES.items()})
_FIXED = Compat(
    'fixed',
    # 'better_and_cheaper' never lets a costlier path in again: docs/results/board_admission.md
    **{**{name: values[1] for name, values in _VALUES.items()}, 'admission': 'gap_or_cheaper'},
)
# The paper states sampling, admission, rate and the meta objective; the rest is the code's.
_PAPER = replace(
    _OFFICIAL,
    mode='paper',
    sampling='op_prob',
    admission='better_and_cheaper',
    board_targets='own',
    rate='best',
    matching_grad='none',
    meta_gradient='path',
    meta_step='virtual',
)
_MODES = {c.mode: c for c in (_OFFICIAL, _PAPER, _FIXED)}
