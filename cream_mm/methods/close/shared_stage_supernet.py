"""An MBConv supernet in whose stages layers share banks of weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch.nn as nn
from torch import Tensor

from ...models.supernets import CreamSupernet, TableRouter
from ...registry import MODELS
from ...spaces import MBConvSpace
from ...structures import Arch


@MODELS.register_module()
class SharedStageSupernet(CreamSupernet):
    """CLOSE's curriculum in an MBConv space: the layers of a stage share banks, more and more of
    them.

    An adaptation: the paper did this with the residual blocks of NDS-ResNet and NDS-ResNeXt-A, not
    with MBConv blocks, and says nothing about them. The first layer of a stage, which changes size
    and width, has weights of its own, as there; each other one runs with those of its bank, all
    choices of one layer. Which layers share a bank is up to the router, a table: it begins with one
    bank a stage, and :meth:`grow` splits a run of layers. With a bank for each layer it is
    :class:`CreamSupernet`.

    Names of weights are those of :class:`CreamSupernet`: bank b of stage s, counted from 0, is
    ``blocks.{s}.{1 + b}``. Layers that are never a bank have none. A checkpoint has the table in
    ``router.table``, so that a path's weights are found without this class.

    Norms scale and shift here. A bank that inherits by addition, as published, begins with scales
    of one plus those of the other: its branch is about twice as strong at first.
    ``CurriculumHook(inherit_norms='copy')`` does without that.

    A bank that runs twice in a path gathers gradients, and running statistics, from both places in
    training. When a path is rated, each of its layers has statistics of its own
    (:func:`~cream_mm.models.layers.bn_policy.recalibrated`). An exported network begins with those
    of the bank in all layers that shared it: measure them anew, or retrain.

    Args:
        space (dict | str | MBConvSpace, optional): As that of :class:`CreamSupernet`.
        router (dict, optional): A :class:`TableRouter` over all layers in order, each sent to a
            layer of its own stage: its own, or one whose weights are of its shape. Defaults to
            ``dict(type='cream_mm.SplitTableRouter')``, which takes ``stages`` from the space.
        **kwargs: As those of :class:`CreamSupernet`.

    Raises:
        ValueError: If the router is none of such a table.
    """

    def __init__(
        self,
        space: Mapping | str | MBConvSpace | None = None,
        *,
        router: Mapping | None = None,
        **kwargs: Any,
    ):
        super().__init__(space, **kwargs)
        self.router = self._build_router(router)
        banks = set(getattr(self.router, 'all_banks', self.router.banks(self.arch)))
        for (stage, layer), i in reversed(self._places.items()):
            if i in banks:
                banks.update(range(i - layer, i))  # what lies before it in its stage stays
            else:
                del self.blocks[stage][layer]
        self.set_arch(self.arch)

    def _build_router(self, router: Mapping | None) -> TableRouter:
        cfg = dict(router or {})
        cfg.setdefault('type', 'cream_mm.SplitTableRouter')
        kind = MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
        if not (isinstance(kind, type) and issubclass(kind, TableRouter)):
            raise ValueError(f'the layers of a stage share banks by a table; got {cfg["type"]!r}')
        if 'table' not in cfg:
            cfg.setdefault('stages', self.space.depths)
        built = MODELS.build(cfg)
        specs = list(self.space.layers())
        table = built.banks(self.arch)
        ok = len(table) == len(specs) and all(bank < len(specs) for bank in table)
        if not ok or any(
            specs[bank].stage != spec.stage or specs[bank][2:] != spec[2:]
            for bank, spec in zip(table, specs)
        ):
            raise ValueError(
                f'a table of {len(table)} layers, {list(table)}, does not fit depths='
                f'{list(self.space.depths)}: each layer is sent to one of its own stage, the first '
                'of a stage, if it changes size or width, to itself'
            )
        return built

    @property
    def _places(self) -> dict[tuple[int, int], int]:
        """(stage, layer) -> its number among all layers."""
        return {(spec.stage, spec.layer): i for i, spec in enumerate(self.space.layers())}

    # ---- banks -------------------------------------------------------------------------------

    @property
    def num_active(self) -> int:
        """Banks of a stage in use."""
        return self.router.num_active

    def grow(self) -> list[tuple[nn.Module, nn.Module]]:
        """Take one more bank of each stage into use.

        Returns:
            list[tuple[Module, Module]]: (new, old) of each: what begins, and what it may inherit.
        """
        places = {i: place for place, i in self._places.items()}
        pairs = [[places[i] for i in pair] for pair in self.router.grow()]
        self.set_arch(self.arch)
        blocks = [[self.blocks[stage][layer] for stage, layer in pair] for pair in pairs]
        return [(new, old) for new, old in blocks]

    # ---- the path ----------------------------------------------------------------------------

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the path that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not a network of the space.
        """
        # Before the router is there the class below builds itself, with a bank for each layer.
        self._banks = self.router.banks(arch) if 'router' in self._modules else None
        self._lent = {}
        if self._banks is not None:
            first = {stage: i for (stage, layer), i in self._places.items() if layer == 0}
            for (stage, layer), i in self._places.items():
                self._lent[stage, layer] = self._banks[i] - first[stage]
        super().set_arch(arch)

    def route(self, stage: int, layer: int, choice: int) -> nn.Module:
        """The one place that says which module a (layer, choice) uses."""
        return super().route(stage, self._lent.get((stage, layer), layer), choice)

    def _follow_router(self) -> None:
        """A checkpoint that was loaded may have brought another table."""
        if self._banks != self.router.banks(self.arch):
            self.set_arch(self.arch)

    def path_blocks(self) -> Iterator[nn.Module]:
        """What the current path runs after the stem, in order; a module may come twice."""
        self._follow_router()
        return super().path_blocks()

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the current path runs through, once."""
        return iter(dict.fromkeys(super().path_modules()))

    def forward_block(self, i: int, x: Tensor) -> Tensor:
        """Run ``blocks.{i}`` of the current path. (N, C_in, H, W) -> (N, C_out, h, w)."""
        self._follow_router()
        return super().forward_block(i, x)
