"""A router without a gate: a table per stage, in which runs of layers are split."""

from collections.abc import Sequence
from typing import Any

import torch

from ...models.supernets import TableRouter
from ...registry import MODELS
from .split_table import RULES, split_layers


@MODELS.register_module()
class SplitTableRouter(TableRouter):
    """Neighbouring positions of a stage share a bank; with each bank more a run is split.

    A bank is named by the position of the supernet whose own it would be: bank b of a stage by the
    stage's b-th position behind the private ones. So ``banks(arch)[i]`` is the layer whose weights
    layer i runs with.

    Args:
        stages (Sequence[int]): Positions of each stage.
        num_banks (int, optional): Most banks that a stage may have, the private ones not counted; a
            stage with fewer positions has one for each. Defaults to as many as the longest needs.
        rule (str): Which run is split: ``'pre'`` (default) or ``'max'``, see :class:`SplitTable`.
        private (int): First positions of each stage, whose banks are their own. Defaults to 1: that
            which changes size and width.
        active (int): Banks of a stage that are in use at the start. Defaults to 1.

    Raises:
        ValueError: If a number is out of range.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), its spaces without cells. Differs: banks that are there from
        the start (``active``) have not inherited from each other; for that, as released, begin with
        one and grow at the first epoch.
    """

    def __init__(
        self,
        stages: Sequence[int],
        num_banks: int | None = None,
        *,
        rule: str = 'pre',
        private: int = 1,
        active: int = 1,
        init_cfg: dict | None = None,
    ):
        if rule not in RULES:
            raise ValueError(f'rule is one of {RULES}; got {rule!r}')
        if not stages or private < 0 or any(n < max(private, 1) for n in stages):
            raise ValueError(
                f'stages lists the positions of each, at least private={private} and one; got '
                f'{list(stages)}'
            )
        most = max(max(stages) - private, 1)
        num_banks = most if num_banks is None else num_banks
        if not 1 <= active <= num_banks <= most:
            raise ValueError(
                f'the longest stage has {most} layers that can share: num_banks of its router is 1 '
                f'to {most}, active not above it, and the schedule of CurriculumHook has as many '
                f'epochs; got num_banks={num_banks}, active={active}'
            )
        super().__init__(split_layers(stages, active, rule, private), init_cfg=init_cfg)
        self.stages, self.rule, self.private = tuple(stages), rule, private
        self.num_banks, self._active = num_banks, active
        self.register_buffer('active', torch.tensor(active))

    @property
    def num_active(self) -> int:
        """Banks of a stage in use, where it has as many positions; the private ones not counted."""
        return self._active

    @property
    def all_banks(self) -> tuple[int, ...]:
        """Every bank that is, or can come, into use."""
        return tuple(sorted(set(self._table(self.num_banks))))

    def _table(self, active: int) -> list[int]:
        return split_layers(self.stages, active, self.rule, self.private)

    @torch.no_grad()
    def grow(self) -> list[tuple[int, int]]:
        """Take one more bank into use in each stage that has a run to split.

        Returns:
            list[tuple[int, int]]: (new, old) of each stage that has: the bank that begins, and the
            one that its positions had before.

        Raises:
            ValueError: If all are in use.
        """
        if self._active == self.num_banks:
            return super().grow()
        before = self._banks
        self._active += 1
        self.active.fill_(self._active)
        self._banks = tuple(self._table(self._active))
        self.table.copy_(torch.tensor(self._banks))
        pairs = ((new, old) for new, old in zip(self._banks, before) if new != old)
        return list(dict.fromkeys(pairs))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        active = int(self.active)
        if not 1 <= active <= self.num_banks or list(self._banks) != self._table(active):
            raise ValueError(
                f'the checkpoint has {active} banks in use, and its layers run with those of '
                f'{list(self._banks)}: that is no table of stages={list(self.stages)}, '
                f'num_banks={self.num_banks}, rule={self.rule!r}, private={self.private}'
            )
        self._active = active
