"""A fixed network of NAS-Bench-201, as a backbone for classifiers and detectors."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch.nn as nn
import torch.utils.checkpoint as cp
from mmengine.model import BaseModule
from torch import Tensor

from ...registry import MODELS
from ...spaces import NASBench201Space
from ...spaces.nas_bench_201 import EDGES, NUM_NODES
from ...structures import Arch
from ..layers.cell_ops import CellFrame, build_operation
from .fixed_network import FixedNetwork, network_class
from .pretrained import init_backbone
from .resolve_arch import resolve_arch


class Cell(nn.Module):
    """A cell with one operation on each edge; edges that nothing enters are run, too.

    (N, channels, H, W) -> (N, channels, H, W).
    """

    def __init__(self, ops: Sequence[int], channels: int, norm_cfg: dict):
        super().__init__()
        self.layers = nn.ModuleList(build_operation(op, channels, norm_cfg) for op in ops)

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for node in range(1, NUM_NODES):
            inputs = [
                layer(nodes[source])
                for layer, (source, target) in zip(self.layers, EDGES)
                if target == node
            ]
            nodes.append(sum(inputs[1:], inputs[0]))
        return nodes[-1]


@MODELS.register_module()
class NASBench201Net(CellFrame, FixedNetwork):
    """A fixed network of the NAS-Bench-201 space: the benchmark's own, without its classifier.

    Args:
        arch (str | list | Arch): As the benchmark writes it, ``'|op~0|+|op~0|op~1|+...'``, or an
            exported JSON file or a nested list; see :func:`resolve_arch`.
        space (dict | NASBench201Space, optional): Fields of the space: ``dict(stem_stride=4)`` for
            a detector. Defaults to the published one.
        out_indices (Sequence[int], optional): Which of the three stages' maps to return. Defaults
            to the last; detectors take (0, 1, 2), of strides 1, 2 and 4 times the stem's.
        frozen_stages (int): -1 freezes nothing, 0 the stem, n the stem and the first n stages.
            Defaults to -1.
        norm_eval (bool): Keep BN layers in eval mode while training. Defaults to False.
        with_cp (bool): Recompute cells in the backward pass to save memory. Defaults to False.
        norm_cfg (dict, optional): Norm layers. Defaults to what an exported JSON says, else
            ``dict(type='BN')``.
        init_cfg (dict, optional): As that of :class:`CreamNet`. Weights begin as torch's own.

    Attributes:
        out_channels (tuple[int]): Channels of the returned maps.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        NAS-Bench-201 (Dong and Yang, ICLR 2020), section 2.1; parameter names are its.
    """

    space_class = NASBench201Space
    next_steps = dict(
        retrain='configs/nas_bench_201/retrain_cifar.py',
        detector='configs/detection/retinanet_nb201_fpn_1x_coco.py',
    )
    images = dict(input_size=[32, 32], crop_pct=1.0)

    def __init__(
        self,
        arch: str | Sequence | Path | Arch,
        *,
        space: Mapping | NASBench201Space | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        BaseModule.__init__(self, init_cfg)
        self.arch, self.space, about = resolve_arch(arch, space, NASBench201Space)
        if not -1 <= frozen_stages <= self.space.num_stages:
            raise ValueError(
                f'frozen_stages must be -1 to {self.space.num_stages}; got {frozen_stages}'
            )
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.build_frame(norm_cfg or about.get('norm_cfg') or dict(type='BN'), out_indices)
        self.freeze()

    def build_cell(self, channels: int) -> Cell:
        """One cell of the architecture."""
        return Cell(self.space.encode(self.arch), channels, self.norm_cfg)

    def run_cell(self, cell: Cell, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if self.with_cp and x.requires_grad:
            return cp.checkpoint(cell, x, use_reentrant=False)
        return cell(x)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.run_frame(x)

    def init_weights(self) -> None:
        """Torch's own initialisation, then ``init_cfg`` (e.g. ``Pretrained``) over it.

        Raises:
            FileNotFoundError: If ``init_cfg`` names a checkpoint that is not there.
            ValueError: If not every tensor of the network is in it.
        """
        init_backbone(self, lambda module: None, super().init_weights)
        self.freeze()

    def frozen_modules(self) -> Iterator[nn.Module]:
        """The stem and the first stages."""
        if self.frozen_stages >= 0:
            yield self.stem
            for stage in range(self.frozen_stages):
                yield from self.stage_modules(stage)


network_class.register(NASBench201Space, lambda space: NASBench201Net)
