"""Scores of paths as a sum of one effect per position and choice: the ranking, less its noise."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..structures import Arch

_PENALTIES = np.logspace(-4, 4, 33)

Effects = Mapping[tuple[int, int, int], float]
"""What (stage, layer, choice) adds, see :meth:`MainEffects.effects`."""


class MainEffects:
    """What each choice of each layer adds to the score, fitted to scored paths.

    In a supernet that was trained shortly, most of what distinguishes one path's score from its
    neighbours' is chance: which paths were trained last, and how deep a path has become unusual.
    Networks trained alone are close to additive, so the fitted sum ranks them better than the
    scores it was fitted to (docs/results/ranking.md). No true accuracy takes part.

    Least squares with a ridge penalty; the penalty is the one with the least error in
    leave-one-out, so that few paths give small effects, and scores that are additive are kept as
    they are.

    Args:
        archs (Sequence[Arch]): (n,) paths, n >= 2. A layer that a shallower path lacks counts as
            a choice of its own.
        scores (Sequence[float]): (n,) their scores, finite; any unit, higher is better.
        along (Sequence[Effects]): Effects that are known up to a factor, from elsewhere: what each
            choice costs, or adds to another score. The factors are fitted without a penalty, so
            that the fitted effects are shrunk towards these and no longer towards none.

    Attributes:
        num_paths (int): Paths that were fitted.
        num_effects (int): Choices, of all layers, that they have.
        penalty (float): The chosen one; columns are 0 or 1.
        factors (tuple[float]): Of ``along``.
        loo_error (float): Root mean square error in leave-one-out, in the unit of the scores.
        loo_r2 (float): Share of the scores' variance that is explained in leave-one-out; what the
            mean of the others explains is 0.
        gain (float): By how much the squared error in leave-one-out is smaller than that of the
            scores' mean, in standard errors of this difference over the scores. Below two, the
            effects tell nothing that chance would not.

    Raises:
        ValueError: If there are fewer than two paths, or the lengths differ.

    Reference:
        Own choice. Leave-one-out in closed form: Golub, Heath and Wahba (1979).
    """

    def __init__(
        self, archs: Sequence[Arch], scores: Sequence[float], along: Sequence[Effects] = ()
    ):
        y = np.asarray(scores, dtype=float)
        if len(archs) != len(y) or len(y) < 2:
            raise ValueError(f'main effects need 2 or more scored paths; got {len(archs)} paths '
                             f'and {len(y)} scores')  # fmt: skip
        seen = {key for arch in archs for key in _choices(arch)}
        keys = sorted(seen.union(*along))
        self._columns = {key: i for i, key in enumerate(keys)}
        self.num_paths, self.num_effects = len(y), len(seen)
        x = self._features(archs)  # (n, p)
        self._mean_x, self._mean_y = x.mean(axis=0), y.mean()
        centred, y = x - self._mean_x, y - self._mean_y
        directions = np.zeros((len(keys), len(along)))
        for column, effects in zip(directions.T, along):
            column[[self._columns[key] for key in effects]] = list(effects.values())
        known = centred @ directions  # (n, directions)
        basis, sizes, _ = np.linalg.svd(known, full_matrices=False)
        basis = basis[:, sizes > 1e-9 * sizes.max(initial=0.0)]  # (n, rank)
        # What is left for the penalised effects: all that the known directions do not explain.
        u, s, vt = np.linalg.svd(centred - basis @ (basis.T @ centred), full_matrices=False)
        free = y - basis @ (basis.T @ y)
        rotated = u.T @ free

        best = None
        for penalty in _PENALTIES:
            shrink = s**2 / (s**2 + penalty)
            residual = free - u @ (shrink * rotated)
            leverage = 1 / len(y) + (basis**2).sum(axis=1) + (u**2) @ shrink
            left_out = residual / np.maximum(1 - leverage, 1e-12)
            error = np.sqrt(np.mean(left_out**2))
            if best is None or error < best[0]:
                best = error, penalty, left_out
        self.loo_error, self.penalty = map(float, best[:2])
        of_mean = y * len(y) / (len(y) - 1)
        less = of_mean**2 - best[2] ** 2
        self.gain = float(less.mean() / (less.std() / np.sqrt(len(y)) or np.inf))
        self.loo_r2 = float(less.sum() / ((of_mean**2).sum() or np.inf))
        weights = vt.T @ (s / (s**2 + self.penalty) * rotated)
        factors = np.linalg.lstsq(known, y - centred @ weights, rcond=None)[0]
        self.factors = tuple(map(float, factors))
        self._weights = weights + directions @ factors

    def predict(self, archs: Sequence[Arch]) -> np.ndarray:
        """Sum of effects of each path, (n,), in the unit of the scores.

        A choice that no fitted path has counts as zero.
        """
        return self._mean_y + (self._features(archs) - self._mean_x) @ self._weights

    def effects(self) -> dict[tuple[int, int, int], float]:
        """(stage, layer, choice) -> what it adds, less the mean of that layer's choices.

        Stage, from 1, and layer, from 0, are the place of the choice in the architecture's nested
        integers, of whatever space it is.
        """
        layers: dict[tuple[int, int], list[float]] = {}
        for (stage, layer, _), i in self._columns.items():
            layers.setdefault((stage, layer), []).append(self._weights[i])
        return {
            key: float(self._weights[i] - np.mean(layers[key[:2]]))
            for key, i in self._columns.items()
        }

    def weight(self, key: tuple[int, int, int]) -> float:
        """What (stage, layer, choice) adds to :meth:`predict`; -inf if nothing is known of it."""
        i = self._columns.get(key)
        return -np.inf if i is None else float(self._weights[i])

    def _features(self, archs: Sequence[Arch]) -> np.ndarray:
        x = np.zeros((len(archs), len(self._columns)))
        for row, arch in zip(x, archs):
            for key in _choices(arch):
                if key in self._columns:
                    row[self._columns[key]] = 1.0
        return x


def places(arch: Arch) -> list[tuple[int, int]]:
    """(stage, layer) of each integer of ``arch``, in the order of :meth:`Space.encode`.

    Unlike a number in the flat list, it means the same in networks of other depths.
    """
    return [
        (stage, layer) for stage, depth in enumerate(arch.depths, start=1) for layer in range(depth)
    ]


def _choices(arch: Arch) -> list[tuple[int, int, int]]:
    flat = (choice for stage in arch.stages for choice in stage)
    return [(*place, choice) for place, choice in zip(places(arch), flat)]
