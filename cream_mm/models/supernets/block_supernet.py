"""A supernet in blocks that run apart from each other, each between a teacher's feature maps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch.nn as nn
from torch import Tensor

from ...registry import MODELS, argument_names
from ...spaces import MBConvSpace
from ...spaces.blocks import BlockSpace
from ...structures import Arch
from ..backbones.cream_net import CreamNet
from ..layers import build_choice, build_first, build_norm, build_stem, norm_of, run_stem
from .path_layer import PathLayer
from .supernet import Supernet

ALIGNS = ('widen_last', 'project')


@MODELS.register_module()
class BlockSupernet(Supernet):
    """All choices at every layer of every cell of every block.

    A cell takes the teacher's map before its block and gives out one like the teacher's map behind
    it. The first block takes the image, through a stem of the supernet's own.

    Args:
        space (dict | BlockSpace): The space, see :meth:`BlockSpace.build`.
        teacher_channels (Sequence[int]): Channels of the teacher's map behind each block.
        align (str): How a cell meets these. ``'widen_last'`` (default): its first layer takes
            them and its last layer gives them out. ``'project'``: a trained conv1x1 before and
            behind it, so that its layers have the shapes of the network.
        costs (dict, optional): How networks are counted, see :class:`CreamSupernet`.
        budget (dict, optional): Bounds on what the joined network costs.
        norm_cfg (dict, optional): Norm layers. Defaults to ``dict(type='BN')``.
        init_cfg (dict, optional): As everywhere in OpenMMLab. Weights begin as torch's own.

    Attributes:
        arch (Arch): The path: what is run in each cell. Set it with :meth:`set_arch`.
        weights_travel (bool): False: the layers at the borders have other shapes than the
            network's, or stand behind projections it has not. A network is trained from scratch.

    Shapes:
        input: (N, 3, H, W). output: a tuple with the last block's map, (N, C, h, w), of the
        cells one after the other: the first that the path has of each block.

    Raises:
        ValueError: If an argument does not fit the space.

    Reference:
        DNA (Li et al., CVPR 2020), section 3.2 and the released supernet. Differs: all cells in
        one supernet, behind one stem, and the teacher's channels are told, not twice the width.
    """

    weights_travel = False
    counted = 'networks'

    def __init__(
        self,
        space: Mapping | str | BlockSpace,
        *,
        teacher_channels: Sequence[int],
        align: str = 'widen_last',
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(BlockSpace.build(space), costs, budget, init_cfg)
        self.norm_cfg = norm_of(self.space.skeleton, norm_cfg)
        self.teacher_channels = tuple(int(channels) for channels in teacher_channels)
        self.align = align
        if align not in ALIGNS:
            raise ValueError(f'align is one of {ALIGNS}; got {align!r}')
        if len(self.teacher_channels) != self.space.num_blocks:
            raise ValueError(
                f'{self.space.num_blocks} blocks need as many maps of the teacher; got '
                f'teacher_channels={self.teacher_channels}'
            )
        self.out_channels = self.teacher_channels[-1:]

        skeleton, norm_cfg = self.space.skeleton, self.norm_cfg
        self.conv_stem = build_stem(skeleton)
        self.bn1 = build_norm(norm_cfg, skeleton.stem_width)
        self.first = nn.Sequential(*build_first(skeleton, norm_cfg))
        self.blocks = nn.ModuleList(
            nn.ModuleList(self._build_cell(b, c) for c in range(len(block)))
            for b, block in enumerate(self.space.cells)
        )
        if align == 'project':
            self.before = nn.ModuleList(map(self._build_before, range(self.space.num_blocks)))
            self.behind = nn.ModuleList(
                nn.ModuleList(
                    nn.Conv2d(self._borders(b, c)[1], channels, 1) for c in range(len(block))
                )
                for b, (block, channels) in enumerate(zip(self.space.cells, self.teacher_channels))
            )
        self.set_arch(self.space.decode([0] * len(self.space.sizes)))

    def _build_cell(self, block: int, cell: int) -> nn.ModuleList:
        """``[layer][choice]``."""
        skeleton: MBConvSpace = self.space.skeleton
        return nn.ModuleList(
            nn.ModuleList(
                build_choice(skeleton, spec, choice, self.norm_cfg)
                for choice in range(len(skeleton.choices))
            )
            for spec in self.space.layers(block, cell, self._borders(block, cell))
        )

    def _borders(self, block: int, cell: int) -> tuple[int, int]:
        """Channels that enter a cell's first layer, and that its last one gives out."""
        first = self.space.skeleton.stage_channels[0]
        if self.align == 'project':
            width, cells = self.space.skeleton.width, self.space.cells
            return width(cells[block - 1][0].width) if block else first, width(
                cells[block][cell].width
            )
        return self.teacher_channels[block - 1] if block else first, self.teacher_channels[block]

    def _build_before(self, block: int) -> nn.ModuleList:
        """A projection for each cell; the first block, behind the stem, needs none."""
        number = len(self.space.cells[block])
        if block == 0:
            return nn.ModuleList(nn.Identity() for _ in range(number))
        channels, (width, _) = self.teacher_channels[block - 1], self._borders(block, 0)
        return nn.ModuleList(nn.Conv2d(channels, width, 1) for _ in range(number))

    # ---- the path ----------------------------------------------------------------------------

    def cell_layers(
        self, block: int, cell: int, choices: Sequence[int] | None = None
    ) -> list[PathLayer]:
        """A path through one cell, from the map before its block, or the image, to the one behind.

        Args:
            block, cell (int): Which cell, from 0.
            choices (Sequence[int], optional): One for each layer. Defaults to the path's.
        """
        layers = [
            PathLayer((block, cell, *key), module, tuple(module.modules()))
            for key, module in self._cell_modules(block, cell, choices)
            if not isinstance(module, nn.Identity)
        ]
        stem = [PathLayer('stem', self.stem, tuple(self._stem_modules()))]
        return layers if block else stem + layers

    def _cell_modules(
        self, block: int, cell: int, choices: Sequence[int] | None = None
    ) -> list[tuple[tuple, nn.Module]]:
        """What a path runs in a cell, behind the stem, and what tells it from others there."""
        if choices is None:
            choices = self.arch.stages[self.space.place(block, cell)]
        modules = [
            ((depth, choice), layer[choice])
            for depth, (layer, choice) in enumerate(zip(self.blocks[block][cell], choices))
        ]
        if self.align == 'project':
            modules.insert(0, (('before',), self.before[block][cell]))
            modules.append((('behind',), self.behind[block][cell]))
        return modules

    def path_layers(self, arch: Arch) -> list[PathLayer] | None:
        """The layers of a network, block after block, in order."""
        cells = self.space.cells_of(arch)
        with self.using(arch):
            parts = [self.cell_layers(block, cell) for block, cell in enumerate(cells)]
        return [layer for part in parts for layer in part]

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the path runs through, in all cells that it has."""
        yield from self._stem_modules()
        for (block, cell), choices in zip(self.space.all_cells, self.arch.stages):
            for _, module in self._cell_modules(block, cell) if choices else ():
                yield from module.modules()

    def _stem_modules(self) -> Iterator[nn.Module]:
        yield from (self.conv_stem, self.bn1)
        for module in self.first:
            yield from module.modules()

    # ---- forward -----------------------------------------------------------------------------

    def stem(self, x: Tensor) -> Tensor:
        """What the first block's cells begin with. (N, 3, H, W) -> (N, C, h, w)."""
        return self.first(run_stem(x, self.conv_stem, self.bn1, self.space.skeleton))

    def forward_cell(self, block: int, cell: int, x: Tensor) -> Tensor:
        """Run the path in one cell, behind the stem.

        Shapes:
            x: (N, C, H, W), the teacher's map before the block or, of the first, the stem's.
            output: (N, C', H', W') as the teacher's map behind it.
        """
        for _, module in self._cell_modules(block, cell):
            x = module(x)
        return x

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        done = set()
        for (block, cell), choices in zip(self.space.all_cells, self.arch.stages):
            if choices and block not in done:
                x = self.forward_cell(block, cell, x)
                done.add(block)
        return (x,)

    # ---- networks ----------------------------------------------------------------------------

    def cut(
        self, state_dict: Mapping[str, Tensor], arch: Arch, prefix: str = 'backbone.'
    ) -> dict[str, Tensor]:
        """There are no weights to take: see :attr:`weights_travel`.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            'weights of a block-wise supernet are not those of a network: its layers at the '
            "borders of blocks have the teacher's channels. Train the network from scratch"
        )

    def build_network(self, arch: Arch) -> CreamNet:
        """The network of an answer, with weights of its own."""
        network, space = self.space.network(arch)
        return CreamNet(network, space=space.to_dict())

    def export(self, arch: Arch, **kwargs: Any) -> CreamNet:
        """The network of an answer, with fresh weights.

        Args:
            arch (Arch): The answer.
            **kwargs: Further arguments of :class:`CreamNet`.
        """
        network, space = self.space.network(arch)
        kwargs = {'norm_cfg': self.norm_cfg, **kwargs}
        net = CreamNet(network, space=space.to_dict(), **kwargs)
        net.init_weights()
        return net.to(self.conv_stem.weight)

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        space = argument_names(MBConvSpace) | {'preset', 'type', 'cells'}
        return dict(super().nested_arguments(), space=space)
