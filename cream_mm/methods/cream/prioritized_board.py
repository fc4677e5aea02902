"""The best paths so far, kept as buffers of the model."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.dist import all_reduce, get_dist_info, get_world_size
from torch import Tensor

from ...costs import Budget
from ...spaces import Space
from ...structures import Arch


class BoardEntry(NamedTuple):
    """One path of the board."""

    arch: Arch
    score: float  # top-1 in percent on the training batch it was sampled for
    macs: int


def admits(rule: str, better_by: float, cheaper: bool, score_gap: float = 5.0) -> bool:
    """Whether a full board takes a path in place of its worst entry.

    Args:
        rule (str): 'better_and_cheaper', or 'gap_or_cheaper', which also takes a path that is
            better by more than ``score_gap`` points at any cost.
        better_by (float): Score of the path less that of the worst entry, in points.
        cheaper (bool): Whether the path costs less than the worst entry.
    """
    gap = rule == 'gap_or_cheaper' and better_by > score_gap
    return gap or (better_by > 0 and cheaper)


class PrioritizedBoard(nn.Module):
    """The K best paths met so far, each with images and soft targets for later students.

    Sorted best first; paths outside the budget are refused. The contents are registered
    buffers: they are saved, resumed and broadcast with the model.

    A full board admits a path whose score beats the worst entry's and whose cost is lower, or
    (``admission='gap_or_cheaper'``) whose score beats it by more than ``score_gap`` points.

    Args:
        space (Space): The search space.
        budget (Budget): Bounds every entry obeys.
        capacity (int): Number of entries K. Defaults to 10.
        num_images (int): Images S kept per entry. Defaults to 4.
        image_size (Sequence[int]): Height and width of the images in pixels.
        num_classes (int): Length of a soft target.
        score_gap (float): In percentage points. Defaults to 5.
        admission (str): 'gap_or_cheaper' (default) or 'better_and_cheaper'.
        cost (str): A field of :class:`Cost` by which paths are compared. Defaults to 'macs'.
        ties (str): Of equal scores, the 'cheaper' (default) or the 'costlier' stands higher.
        duplicates (str): A path that is there takes its newest score, images and targets
            ('refreshed', default), or becomes a further entry ('kept').

    Shapes:
        images: (K, S, 3, H, W), normalised. soft_targets: (K, S, num_classes), rows sum to 1.
        archs: (K, layers), choice indices.

    Units:
        score: training-batch top-1 in percent, higher is better. macs: multiply-adds.

    Raises:
        ValueError: If ``capacity`` or ``num_images`` is below 1, or an offered score is not
            finite.

    Reference:
        Cream, prioritized path board; :class:`Compat` tells which arguments are the released
        code's and which the paper's.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        image_size: Sequence[int],
        num_classes: int,
        capacity: int = 10,
        num_images: int = 4,
        score_gap: float = 5.0,
        admission: str = 'gap_or_cheaper',
        cost: str = 'macs',
        ties: str = 'cheaper',
        duplicates: str = 'refreshed',
    ):
        super().__init__()
        if capacity < 1 or num_images < 1:
            raise ValueError(
                f'a board needs capacity >= 1 and num_images >= 1; got {capacity}, {num_images}'
            )
        self.space = space
        self.budget = budget
        self.capacity = capacity
        self.num_images = num_images
        self.score_gap = score_gap
        self.admission = admission
        self.cost = cost
        self.ties = ties
        self.duplicates = duplicates
        self.register_buffer('length', torch.zeros((), dtype=torch.long))
        self.register_buffer('scores', torch.zeros(capacity, dtype=torch.float64))
        self.register_buffer('macs', torch.zeros(capacity, dtype=torch.long))
        self.register_buffer('archs', torch.zeros(capacity, len(space.sizes), dtype=torch.long))
        self.register_buffer(
            'images', torch.zeros(capacity, num_images, space.in_channels, *image_size)
        )
        self.register_buffer('soft_targets', torch.zeros(capacity, num_images, num_classes))
        self._entries: list[BoardEntry] | None = None

    # ---- reading -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def entries(self) -> list[BoardEntry]:
        """The paths, best first. Read back from the buffers after a checkpoint was loaded."""
        if self._entries is None:
            # Whole buffers: on a GPU each read waits for all the work before it.
            buffers = zip(self.archs.tolist(), self.scores.tolist(), self.macs.tolist())
            self._entries = [
                BoardEntry(self.space.decode(flat), score, macs)
                for flat, score, macs in itertools.islice(buffers, int(self.length))
            ]
        return self._entries

    def __contains__(self, arch: Arch) -> bool:
        return any(entry.arch == arch for entry in self.entries)

    # ---- writing -----------------------------------------------------------------------------

    @torch.no_grad()
    def offer(self, arch: Arch, score: float, images: Tensor, soft_targets: Tensor) -> bool:
        """Put a path on the board if it deserves it.

        Args:
            arch (Arch): The path.
            score (float): Its top-1 on the training batch, in percent, equal on every rank.
            images (Tensor): (n, 3, H, W), this rank's; the first S of all ranks are kept.
            soft_targets (Tensor): (n, num_classes), the path's own probabilities for them.

        Returns:
            bool: Whether it is on the board now.
        """
        if not math.isfinite(score):
            raise ValueError(f'the score of {arch} is not finite: {score}')
        flat = self.space.encode(arch)
        if self.space.decode(flat) != arch:
            raise ValueError(
                f'the board keeps full-depth paths, {len(self.space.sizes)} layers; got {arch}'
            )
        too_few = len(images) * get_world_size() < self.num_images
        if too_few or not self.budget.is_feasible(arch):
            return False
        slot = self._slot(arch, score)
        if slot is None:
            return False
        if slot == len(self.entries):
            self.length += 1
        self.archs[slot] = torch.tensor(flat, device=self.archs.device)
        self.scores[slot] = score
        self.macs[slot] = self.budget.cost_model.cost(arch).macs
        self.images[slot] = _first_of_all_ranks(images.to(self.images), self.num_images)
        targets = soft_targets.to(self.soft_targets)
        self.soft_targets[slot] = _first_of_all_ranks(targets, self.num_images)
        self._sort()
        return True

    def _slot(self, arch: Arch, score: float) -> int | None:
        """Where to write the path, or None if it is not admitted."""
        entries = self.entries
        if self.duplicates == 'refreshed':
            for slot, entry in enumerate(entries):
                if entry.arch == arch:
                    return slot
        if len(entries) < self.capacity:
            return len(entries)
        worst = entries[-1]
        better_by = score - worst.score
        cheaper = self._cost(arch) < self._cost(worst.arch)
        admitted = admits(self.admission, better_by, cheaper, self.score_gap)
        return len(entries) - 1 if admitted else None

    def _cost(self, arch: Arch) -> int:
        return getattr(self.budget.cost_model.cost(arch), self.cost)

    def _sort(self) -> None:
        self._entries = None
        sign = 1 if self.ties == 'costlier' else -1
        # Cost and list break ties, so that the order does not depend on the order of offers.
        keys = [(e.score, sign * self._cost(e.arch), e.arch.to_list()) for e in self.entries]
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
        index = torch.tensor(order, device=self.archs.device)
        for buffer in (self.scores, self.macs, self.archs, self.images, self.soft_targets):
            buffer[: len(order)] = buffer[index]
        self._entries = None

    def _load_from_state_dict(self, *args, **kwargs):
        super()._load_from_state_dict(*args, **kwargs)
        self._entries = None


def _first_of_all_ranks(batch: Tensor, count: int) -> Tensor:
    """The ranks' batches dealt in turn, as one process would have the whole batch.

    mmengine's sampler deals the images to the ranks in this way. (n, ...) -> (count, ...)
    """
    rank, world_size = get_dist_info()
    first = batch.new_zeros(count, *batch.shape[1:])
    mine = first[rank::world_size]
    mine.copy_(batch[: len(mine)])
    all_reduce(first)  # zeros wherever it is another rank's turn
    return first
