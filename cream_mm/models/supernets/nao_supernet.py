"""The weight-sharing network that holds every pair of cells of NAO's space."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch.nn as nn
from torch import Tensor

from ...registry import MODELS, argument_names
from ...spaces import NAOSpace
from ...spaces.nao import NUM_INPUTS, NUM_NODES
from ...structures import Arch
from ..backbones.nao_net import NAONet
from ..backbones.pretrained import init_backbone
from ..layers.nao_ops import (
    FactorizedReduce,
    MatchInputs,
    NAOFrame,
    Place,
    SharedCombine,
    SharedIdentity,
    SharedSepConv,
    build_shared_operations,
    drop_samples,
    init_he_weights,
)
from .cut_weights import NO_WEIGHTS_OF_NAO
from .supernet import Supernet

NORMS = ('BN', 'BN2d')


class SharedNode(nn.Module):
    """All operations on all inputs of both edges of a node."""

    def __init__(self, number: int, place: Place, norm_cfg: dict):
        super().__init__()
        self.x_op = build_shared_operations(place, NUM_INPUTS + number, norm_cfg)
        self.y_op = build_shared_operations(place, NUM_INPUTS + number, norm_cfg)


class SharedCell(nn.Module):
    """A cell with everything that it may be; its output has the channels of a node.

    (N, C0, H0, W0), (N, C1, H, W) -> (N, C, h, w).
    """

    def __init__(self, place: Place, norm_cfg: dict):
        super().__init__()
        channels = place.channels
        self.reduces = place.reduces
        self.ops = nn.ModuleList(SharedNode(node, place, norm_cfg) for node in range(NUM_NODES))
        self.maybe_calibrate_size = MatchInputs(place, norm_cfg)
        if place.reduces:
            self.fac_1 = FactorizedReduce(channels, channels, norm_cfg)
            self.fac_2 = FactorizedReduce(channels, channels, norm_cfg)
        self.final_combine_conv = SharedCombine(channels, NUM_INPUTS + NUM_NODES, norm_cfg)

    def stride(self, source: int) -> int:
        """Of an operation on a state."""
        return 2 if self.reduces and source < NUM_INPUTS else 1

    def edges(self, choices: Sequence[int]) -> Iterator[tuple[str, nn.Module, int]]:
        """Of a cell's 20 integers: name, operation and input of each edge, node after node."""
        for node, module in enumerate(self.ops):
            for edge, ops in enumerate((module.x_op, module.y_op)):
                source, op = choices[4 * node + 2 * edge : 4 * node + 2 * edge + 2]
                yield f'ops.{node}.{"xy"[edge]}_op.{op}', ops[op], source

    def halved(self, concat: Sequence[int]) -> dict[int, FactorizedReduce]:
        """What makes inputs fit those that are concatenated with them."""
        reduces = {0: self.fac_1, 1: self.fac_2} if self.reduces else {}
        return {state: module for state, module in reduces.items() if state in concat}

    def forward(
        self,
        before: Tensor,
        previous: Tensor,
        choices: Sequence[int],
        concat: Sequence[int],
        keep: float = 1.0,
    ) -> Tensor:
        states = list(self.maybe_calibrate_size(before, previous))
        outs: list[Tensor] = []
        for _, op, source in self.edges(choices):
            y = op(states[source], source, self.stride(source))
            outs.append(drop_samples(y, keep) if keep < 1 else y)
            if len(outs) == 2:
                states.append(outs[0] + outs[1])
                outs.clear()
        for state, reduce in self.halved(concat).items():
            states[state] = reduce(states[state])
        return self.final_combine_conv(states, concat)


@MODELS.register_module()
class NAOSupernet(NAOFrame, Supernet):
    """All operations on all inputs of every node; ``forward`` runs the two cells that were set.

    Each edge has weights of its own for each input that it may have. Cells give out as many
    channels as a node has, whatever they concatenate, through a conv1x1 that a network of its own
    does not have: so weights of a path mean nothing in the network.

    Args:
        space (dict | NAOSpace, optional): Fields of the space. Defaults to the published.
        costs, budget (dict, optional): As those of :class:`Supernet`.
        out_indices (Sequence[int], optional): Which of the three stages' maps to return. Defaults
            to the last.
        drop_path_rate (float): In training each of the ten edges of a cell loses a sample at this
            rate times the cell's depth, (layer + 1) / layers, times ``drop_path_scale``. Defaults
            to 0.1, as released.
        official_rating (bool): Whether the norms of the stem and of what halves concatenated
            inputs keep to their running statistics where ``bn_policy='batch_stats'`` rates, as in
            the released code. Defaults to False: all go by the batch.
        norm_cfg (dict, optional): Batch norm: ``dict(type='BN')``, the default, with ``eps`` and
            ``momentum``.
        init_cfg (dict, optional): As everywhere in OpenMMLab. Weights begin as He et al. draw
            them, normal with the fan-in.

    Attributes:
        arch (Arch): The cells that ``forward`` runs. Set them with :meth:`set_arch`.
        drop_path_scale (float): 1; who raises the rate step by step sets it, see
            :class:`DropPathHook`.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        NAO-V2 (Luo et al., arXiv 1909.10815), its released supernet; parameter names are its.
    """

    weights_travel = False
    counted = 'networks'

    def __init__(
        self,
        space: Mapping | NAOSpace | None = None,
        *,
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.1,
        official_rating: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        Supernet.__init__(self, NAOSpace.build(space), costs, budget, init_cfg)
        norm_cfg = norm_cfg or dict(type='BN')
        if norm_cfg.get('type') not in NORMS:
            raise ValueError(
                f"norm_cfg of a NAOSupernet has type 'BN': each input has a scale and shift of its "
                f'own, and no other norm has; got {norm_cfg}'
            )
        self.build_frame(norm_cfg, out_indices, drop_path_rate)
        for norm in self.shared_norms() if official_rating else ():
            norm.keeps_running = True
        init_he_weights(self)
        self.set_arch(self.space.decode([0] * len(self.space.sizes)))

    def build_cell(self, place: Place) -> SharedCell:
        """A cell with everything that it may be."""
        return SharedCell(place, self.norm_cfg)

    def cell_channels(self, place: Place) -> int:
        """Those of a node."""
        return place.channels

    def shared_norms(self) -> Iterator[nn.Module]:
        """Norms of the stem, and of what halves the inputs that a reduction concatenates."""
        yield self.stem[1]
        for cell in self.cells:
            if cell.reduces:
                yield from (cell.fac_1.bn, cell.fac_2.bn)

    def init_weights(self) -> None:
        """He initialisation, then ``init_cfg`` over it."""
        init_backbone(self, init_he_weights, super().init_weights)

    # ---- the path ----------------------------------------------------------------------------

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the pair of cells that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not one of the space.
        """
        super().set_arch(arch)
        self._concat = self.space.concat(arch)

    def _cells(self) -> Iterator[tuple[str, SharedCell, Sequence[int], Sequence[int]]]:
        """Name and module of each cell, its choices and what it concatenates."""
        for layer, cell in enumerate(self.cells):
            kind = int(cell.reduces)
            yield f'cells.{layer}', cell, self.arch.stages[kind], self._concat[kind]

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the current path runs through, once.

        Not the lists of parameters in them, of which a path takes one each: :meth:`path_parameters`
        has these.
        """
        yield from self.stem.modules()
        for _, cell, choices, concat in self._cells():
            yield cell
            yield from cell.maybe_calibrate_size.modules()
            for _, op, source in cell.edges(choices):
                if isinstance(op, SharedSepConv):
                    yield from (op, op.bn1, op.bn2)
                elif isinstance(op, SharedIdentity) and cell.stride(source) == 2:
                    yield from (op, *op.reduce[source].modules())
                else:
                    yield op
            for reduce in cell.halved(concat).values():
                yield from reduce.modules()
            yield from (cell.final_combine_conv, cell.final_combine_conv.bn)

    def path_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that the current path touches, by their name in the supernet."""
        on_path = super().path_parameters()
        for prefix, cell, choices, concat in self._cells():
            for name, op, source in cell.edges(choices):
                if isinstance(op, SharedSepConv):
                    for own, param in op.parameters_of(source):
                        on_path[f'{prefix}.{name}.{own}'] = param
            for state in concat:
                weight = cell.final_combine_conv.w[state]
                on_path[f'{prefix}.final_combine_conv.w.{state}'] = weight
        return on_path

    def path_layers(self, arch: Arch) -> None:
        """None: a cell is no chain."""
        return None

    # ---- forward -----------------------------------------------------------------------------

    def run_cell(self, cell: SharedCell, before: Tensor, previous: Tensor, keep: float) -> Tensor:
        """Outputs of the two cells before it -> its own."""
        kind = int(cell.reduces)
        return cell(before, previous, self.arch.stages[kind], self._concat[kind], keep)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.run_frame(x, [self.last_layer(stage) for stage in self.out_indices])

    # ---- networks ----------------------------------------------------------------------------

    def cut(
        self, state_dict: Mapping[str, Tensor], arch: Arch, prefix: str = 'backbone.'
    ) -> dict[str, Tensor]:
        """There are no weights to take: see :attr:`weights_travel`.

        Raises:
            ValueError: Always.
        """
        raise ValueError(NO_WEIGHTS_OF_NAO)

    def build_network(self, arch: Arch) -> NAONet:
        """A fixed network of the space, with weights of its own."""
        return NAONet(arch, space=self.space.to_dict())

    def export(self, arch: Arch, **kwargs: Any) -> NAONet:
        """The network of an answer, with fresh weights: the supernet's do not fit.

        Args:
            arch (Arch): The answer.
            **kwargs: Further arguments of :class:`NAONet`.
        """
        self.space.validate(arch)
        kwargs = {'out_indices': self.out_indices, 'norm_cfg': self.norm_cfg, **kwargs}
        net = NAONet(arch, space=self.space.to_dict(), **kwargs)
        net.init_weights()
        return net.to(self.stem[0].weight)

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        space = argument_names(NAOSpace) | {'type'}
        return dict(super().nested_arguments(), space=space)
