"""Runs many paths on the same images; what neighbours have in common is run once."""

from collections.abc import Sequence

from torch import Tensor

from ..models.layers.bn_policy import batch_stats, recalibrated
from ..models.supernets import PathLayer


class SharedPrefix:
    """Feature maps of paths in the order of a prefix tree.

    Two paths that agree in their first layers have the same feature maps there, and batch norm is
    fitted layer by layer, so those layers are run once and give bit by bit what running each path
    alone gives.

    Args:
        paths (Sequence[list[PathLayer]]): The layers of each path, of a supernet in eval mode.
            Neighbours should agree in as much as possible, as they do when sorted.
        images (list[Tensor]): Batches (N, 3, H, W) to run.
        bn_images (list[Tensor], optional): Batches to recalibrate batch norm on. None normalises
            with the statistics of each batch of ``images``.
        max_bytes (int): Of feature maps kept between paths. Beyond it more is computed again.

    Attributes:
        layers_run (int): Layers run so far.
        layers_asked (int): Layers that the paths run one by one would have taken.
    """

    def __init__(
        self,
        paths: Sequence[list[PathLayer]],
        images: list[Tensor],
        bn_images: list[Tensor] | None,
        max_bytes: int,
    ):
        self.recalibrate = bn_images is not None
        self.max_bytes = max_bytes
        self.layers_run = self.layers_asked = 0
        self._paths = list(paths)
        self._common = [0] + [_agree(a, b) for a, b in zip(self._paths, self._paths[1:])]
        self._kept: dict[int, tuple[list, list]] = {0: (images, bn_images or [])}

    def __getitem__(self, i: int) -> list[Tensor]:
        """Last feature map of path ``i``, one per batch. To be asked for in order."""
        path, needed = self._paths[i], self._depths_needed_after(i)
        start = max(d for d in self._kept if d <= self._common[i])
        self._kept = {d: maps for d, maps in self._kept.items() if d <= start}
        maps = self._kept[start]
        self.layers_asked += len(path)
        self.layers_run += len(path) - start
        for depth in range(start, len(path)):
            maps = self._run(path[depth], *maps)
            if depth + 1 in needed and self._bytes(maps) <= self.max_bytes:
                self._kept[depth + 1] = maps
        self._kept = {d: maps for d, maps in self._kept.items() if d in needed or d == 0}
        return maps[0]

    def _run(self, layer: PathLayer, images: list, bn_images: list) -> tuple[list, list]:
        fitted_on: list[Tensor] = []
        if self.recalibrate:
            norm = recalibrated(
                layer.norms, lambda: fitted_on.extend(layer.run(x) for x in bn_images)
            )
        else:
            norm = batch_stats(layer.norms)
        with norm:
            return [layer.run(x) for x in images], fitted_on

    def _depths_needed_after(self, i: int) -> set[int]:
        """Where later paths will branch off this one."""
        depths, least = set(), len(self._paths[i])
        for common in self._common[i + 1 :]:
            least = min(least, common)
            depths.add(least)
            if least <= 1:  # the stem, which all share: nothing branches off before it
                break
        return depths

    def _bytes(self, maps: tuple[list, list]) -> int:
        kept = [*self._kept.values(), maps]
        return sum(x.nbytes for pair in kept[1:] for side in pair for x in side)


def _agree(one: list[PathLayer], other: list[PathLayer]) -> int:
    """Number of first layers that are the same."""
    pairs = enumerate(zip(one, other))
    differing = (i for i, (a, b) in pairs if a.key != b.key)
    return next(differing, min(len(one), len(other)))
