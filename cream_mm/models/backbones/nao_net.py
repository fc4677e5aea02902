"""A fixed network of NAO-V2's space, as a backbone for classifiers and detectors."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn as nn
import torch.utils.checkpoint as cp
from mmengine.model import BaseModule
from torch import Tensor

from ...registry import MODELS
from ...spaces import NAOSpace
from ...spaces.nao import NUM_INPUTS
from ...structures import Arch
from ..layers.nao_ops import (
    FactorizedReduce,
    MatchInputs,
    NAOFrame,
    Place,
    build_operation,
    drop_samples,
    init_he_weights,
)
from .fixed_network import FixedNetwork, network_class
from .pretrained import init_backbone
from .resolve_arch import resolve_arch


class Node(nn.Module):
    """Two operations, whose outputs are added."""

    def __init__(self, pairs: Sequence[int], place: Place, norm_cfg: dict):
        super().__init__()
        self.sources = pairs[0], pairs[2]
        strides = [2 if place.reduces and source < 2 else 1 for source in self.sources]
        self.x_op = build_operation(pairs[1], place.channels, strides[0], norm_cfg)
        self.y_op = build_operation(pairs[3], place.channels, strides[1], norm_cfg)

    def forward(self, states: Sequence[Tensor], keep: float) -> Tensor:
        x, y = self.x_op(states[self.sources[0]]), self.y_op(states[self.sources[1]])
        if keep < 1:
            x, y = drop_samples(x, keep), drop_samples(y, keep)
        return x + y


class Combine(nn.Module):
    """Concatenates the states that no node took; those that are the inputs of a reduction are
    halved first.

    Of (N, C, H, W) each -> (N, C * len(concat), h, w).
    """

    def __init__(self, concat: Sequence[int], place: Place, norm_cfg: dict):
        super().__init__()
        self.concat = tuple(concat)
        self.ops = nn.ModuleList(
            FactorizedReduce(place.channels, place.channels, norm_cfg)
            for state in concat
            if place.reduces and state < NUM_INPUTS
        )

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        maps = [states[i] for i in self.concat]
        for i, reduce in enumerate(self.ops):  # the inputs are the first states
            maps[i] = reduce(maps[i])
        return torch.cat(maps, dim=1)


class Cell(nn.Module):
    """A cell: five nodes on the outputs of the two cells before it.

    What no node uses is concatenated: (N, C0, H0, W0), (N, C1, H, W) -> (N, C * len(concat), h, w).
    """

    def __init__(self, choices: Sequence[int], concat: Sequence[int], place: Place, norm_cfg: dict):
        super().__init__()
        pairs = [choices[i : i + 4] for i in range(0, len(choices), 4)]
        self.ops = nn.ModuleList(Node(pair, place, norm_cfg) for pair in pairs)
        self.maybe_calibrate_size = MatchInputs(place, norm_cfg)
        self.final_combine = Combine(concat, place, norm_cfg)

    def forward(self, before: Tensor, previous: Tensor, keep: float = 1.0) -> Tensor:
        states = list(self.maybe_calibrate_size(before, previous))
        for node in self.ops:
            states.append(node(states, keep))
        return self.final_combine(states)


@MODELS.register_module()
class NAONet(NAOFrame, FixedNetwork):
    """A fixed network of NAO-V2's space: the released one, without its classifier.

    Args:
        arch (str | list | Arch): ``'naonet-v2'``, 40 integers as published, an exported JSON file
            or a nested list; see :func:`resolve_arch`.
        space (dict | NAOSpace, optional): Fields of the space: ``dict(stem_stride=4)`` for a
            detector, ``dict(channels=36, num_cells=6)`` for the size of a final network.
        out_indices (Sequence[int], optional): Which of the three stages' maps to return. Defaults
            to the last; detectors take (0, 1, 2), of strides 1, 2 and 4 times the stem's.
        auxiliary (bool): Give out in training the map behind the second reduction cell, too, just
            before the last map, for the second classifier of a :class:`NAOClsHead`. Defaults to
            False.
        drop_path_rate (float): In training each of the ten edges of a cell loses a sample at this
            rate times the cell's depth, (layer + 1) / layers, times ``drop_path_scale``. Defaults
            to 0.
        frozen_stages (int): -1 freezes nothing, 0 the stem, n the stem and the first n stages.
            Defaults to -1.
        norm_eval (bool): Keep BN layers in eval mode while training. Defaults to False.
        with_cp (bool): Recompute cells in the backward pass to save memory. Defaults to False.
        norm_cfg (dict, optional): Norm layers. Defaults to what an exported JSON says, else
            ``dict(type='BN')``.
        init_cfg (dict, optional): As that of :class:`CreamNet`. Convolutions begin as He et al.
            draw them, normal with the fan-in.

    Attributes:
        out_channels (tuple[int]): Channels of the maps of ``out_indices``: those of a node times
            the states that the normal cell concatenates.
        drop_path_scale (float): 1; who raises the rate step by step sets it, see
            :class:`DropPathHook`.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        NAO-V2 (Luo et al., arXiv 1909.10815), its released network; parameter names are its.
    """

    space_class = NAOSpace
    next_steps = dict(
        retrain='configs/nao_v2/retrain_cifar10.py',
        detector='configs/detection/retinanet_nao_fpn_1x_coco.py',
    )
    images = dict(input_size=[32, 32], crop_pct=1.0)

    def __init__(
        self,
        arch: str | Sequence | Path | Arch,
        *,
        space: Mapping | NAOSpace | None = None,
        out_indices: Sequence[int] | None = None,
        auxiliary: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        BaseModule.__init__(self, init_cfg)
        self.arch, self.space, about = resolve_arch(arch, space, NAOSpace)
        if not -1 <= frozen_stages <= self.space.num_stages:
            raise ValueError(
                f'frozen_stages must be -1 to {self.space.num_stages}; got {frozen_stages}'
            )
        self.auxiliary = auxiliary
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        norm_cfg = norm_cfg or about.get('norm_cfg') or dict(type='BN')
        self.build_frame(norm_cfg, out_indices, drop_path_rate)
        if auxiliary and self.out_indices[-1] != self.space.num_stages - 1:
            raise ValueError(f'auxiliary=True needs the last map; got out_indices={out_indices}')
        self.freeze()

    def build_cell(self, place: Place) -> Cell:
        """The normal or the reduction cell of the architecture."""
        kind = int(place.reduces)
        return Cell(
            self.arch.stages[kind], self.space.concat(self.arch)[kind], place, self.norm_cfg
        )

    def cell_channels(self, place: Place) -> int:
        """Those of its nodes, for each state that it concatenates."""
        return place.channels * len(self.space.concat(self.arch)[int(place.reduces)])

    def run_cell(self, cell: Cell, before: Tensor, previous: Tensor, keep: float) -> Tensor:
        """Outputs of the two cells before it -> its own."""
        if self.with_cp and previous.requires_grad:
            return cp.checkpoint(cell, before, previous, keep, use_reentrant=False)
        return cell(before, previous, keep)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        layers = [self.last_layer(stage) for stage in self.out_indices]
        if self.auxiliary and self.training:
            layers.insert(-1, self.stage_cells(self.space.num_stages - 1).start)
        return self.run_frame(x, layers)

    def draw_weights(self) -> None:
        """He initialisation of all convolutions."""
        init_he_weights(self)

    def init_weights(self) -> None:
        """He initialisation, then ``init_cfg`` (e.g. ``Pretrained``) over it.

        Raises:
            FileNotFoundError: If ``init_cfg`` names a checkpoint that is not there.
            ValueError: If not every tensor of the network is in it.
        """
        init_backbone(self, init_he_weights, super().init_weights)
        self.freeze()

    def frozen_modules(self) -> Iterator[nn.Module]:
        """The stem and the first stages."""
        if self.frozen_stages >= 0:
            yield self.stem
            for stage in range(self.frozen_stages):
                yield from (self.cells[layer] for layer in self.stage_cells(stage))

    @classmethod
    def map_channels(cls, arch: Arch, space: NAOSpace) -> tuple[int, ...]:
        """Channels of the three stages' maps, which normal cells give out."""
        return tuple(width * len(space.concat(arch)[0]) for width in space.stage_channels)

    @classmethod
    def auxiliary_channels(cls, arch: Arch, space: NAOSpace) -> int:
        """Channels of the map behind the second reduction cell."""
        return space.stage_channels[-1] * len(space.concat(arch)[1])

    @classmethod
    def head_channels(cls, arch: Arch, space: NAOSpace) -> dict[str, int]:
        """Of the second classifier's map, an argument of :class:`NAOClsHead`."""
        return dict(aux_channels=cls.auxiliary_channels(arch, space))


network_class.register(NAOSpace, lambda space: NAONet)
