"""One set of weights, that of a fixed network, whose slices are all paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ...registry import MODELS, argument_names
from ...spaces import ElasticSpace, MBConvSpace
from ...structures import Arch
from ..backbones.cream_net import CreamNet
from ..backbones.fixed_network import NO_SCRIPT
from ..backbones.pretrained import init_backbone, is_pretrained
from ..backbones.resolve_arch import resolve_arch
from ..layers import MBConv, build_choice, norm_of, run_stem
from ..layers.init import init_cream_weights
from ..layers.resize_images import resize_images
from .channel_order import check_rule, sort_block
from .cut_elastic import cut_elastic
from .path_layer import PathLayer
from .sliced_block import SlicedBlock
from .supernet import Supernet


@MODELS.register_module()
class ElasticSupernet(Supernet):
    """A fixed network, and all that becomes of it by leaving something out.

    A path leaves out layers, the last of the expanded channels, and the rim of depthwise kernels,
    and it may take smaller images. Names and shapes of the weights are those of the full network's
    :class:`CreamNet`: checkpoints of either are loaded by both.

    Args:
        arch (str | list | Arch): The full network, as :class:`CreamNet` takes it.
        space (dict | str, optional): Its space, as :class:`CreamNet` takes it.
        expansions (Sequence[int]): Expansions that a layer may have, up to its own.
        kernels (Sequence[int]): The same of kernels.
        input_sizes (Sequence[int]): Sides of the square images that a path may take, the largest
            first. The supernet is given images of one size, and resizes them for the path. Without
            any, it takes images as they come.
        importance (str): The rule by which :meth:`sort_channels` decides what is cut off first, a
            key of ``channel_order.IMPORTANCE``. Defaults to 'variance', see
            docs/results/channel_order.md.
        costs (dict, optional): How paths are counted, see :class:`CreamSupernet`; where there are
            ``input_sizes``, ``input_size`` is the first of them.
        budget (dict, optional): Bounds on these costs, see :class:`Budget`.
        out_indices, norm_cfg: See :class:`CreamNet`.
        init_cfg (dict, optional): See :class:`CreamNet`: ``dict(type='Pretrained',
            checkpoint='lite0')``.

    Attributes:
        arch (Arch): The path that ``forward`` runs, of ``space``, an :class:`ElasticSpace`. The
            full network at first.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        Once-for-all networks (Cai et al., ICLR 2020). Differs: kernels are cropped without a
        learnt transform, and the weights begin as those of a network that was trained alone.
    """

    weights_travel = True

    def __init__(
        self,
        arch: str | Sequence | Arch = 'lite0',
        *,
        space: Mapping | str | None = None,
        expansions: Sequence[int] = (6, 4, 3, 2),
        kernels: Sequence[int] = (7, 5, 3),
        input_sizes: Sequence[int] = (),
        importance: str = 'variance',
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        out_indices: Sequence[int] | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        full, skeleton, about = resolve_arch(arch, space, MBConvSpace)
        elastic = ElasticSpace(
            skeleton, full, expansions=expansions, kernels=kernels, input_sizes=input_sizes
        )
        super().__init__(elastic, costs, budget, init_cfg)
        self.importance = check_rule(importance)
        self.norm_cfg = norm_of(skeleton, norm_cfg or about.get('norm_cfg'))
        net = CreamNet(
            full, space=skeleton.to_dict(), out_indices=out_indices, norm_cfg=self.norm_cfg
        )
        self.out_indices, self.out_channels = net.out_indices, net.out_channels
        self.conv_stem, self.bn1, self.blocks = net.conv_stem, net.bn1, net.blocks
        self._specs = elastic.specs()
        self._networks = replace(skeleton, choices=elastic.network_choices)
        self._slices: dict[tuple[int, int], SlicedBlock] = {}
        self.set_arch(elastic.full_path)

    def init_weights(self) -> None:
        """As :meth:`CreamNet.init_weights`; weights of a file are sorted, see :attr:`importance`.

        Raises:
            FileNotFoundError: If ``init_cfg`` names a checkpoint that is not there.
            ValueError: If not every tensor of the network is in it.
        """
        first = not self.is_init
        init_backbone(self, init_cream_weights, super().init_weights)
        cfgs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        if first and any(is_pretrained(cfg) for cfg in cfgs if cfg):
            self.sort_channels()

    def sort_channels(self, rule: str | None = None) -> None:
        """Put the expanded channels of all layers into descending importance, in place.

        The full network computes what it did, up to rounding; it is the slices that change. Once
        sorted by a rule, weights that have not changed are left as they are. State that belongs to
        single weights, as an optimizer's, means nothing afterwards.

        Args:
            rule (str, optional): Another rule than :attr:`importance`.
        """
        rule = check_rule(rule or self.importance)
        for block in (block for stage in self.blocks for block in stage):
            if isinstance(block, MBConv):
                sort_block(block, rule)

    # ---- the path ----------------------------------------------------------------------------

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the path that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not a network of the space.
        """
        super().set_arch(arch)
        middle, flat = [[] for _ in arch.stages], self.space.encode(arch)
        for position, spec in enumerate(self._specs):
            block = self._block(position, flat[position])
            if block is not None:
                middle[spec.stage - 1].append((position, block))
        stages = middle[: self.space.skeleton.num_stages]
        first, last = ([(None, block) for block in self.blocks[i]] for i in (0, -1))
        self._path = [first, *stages, last][: self.out_indices[-1] + 1]

    def _block(self, position: int, choice: int) -> nn.Module | SlicedBlock | None:
        """What a choice runs; None where it leaves the layer out."""
        spec, index = self._specs[position], self.space.network_indices(position)[choice]
        full = self.blocks[spec.stage][spec.layer]
        if choice == 0 or index is None:
            return full if choice == 0 else None
        if (position, choice) not in self._slices:
            with torch.device('meta'):
                shell = build_choice(self._networks, spec, index, self.norm_cfg)
            self._slices[position, choice] = SlicedBlock(full, shell)
        return self._slices[position, choice]

    @property
    def input_size(self) -> int | None:
        """Side of the images that the current path takes; None: as they come."""
        return self.space.input_size(self.arch)

    def path_blocks(self) -> Iterator[nn.Module | SlicedBlock]:
        """What the current path runs after the stem, in order."""
        for stage in self._path:
            for _, block in stage:
                yield block

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the current path runs through: where it is sliced, the slices."""
        yield from (self.conv_stem, self.bn1)
        for block in self.path_blocks():
            yield from block.modules()

    def path_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that the current path takes something of, by their name in the supernet."""
        blocks = (b.full if isinstance(b, SlicedBlock) else b for b in self.path_blocks())
        touched = {
            id(param)
            for module in (self.conv_stem, self.bn1, *blocks)
            for param in module.parameters()
        }
        return {name: p for name, p in self.named_parameters() if id(p) in touched}

    def path_layers(self, arch: Arch) -> list[PathLayer] | None:
        """The layers of a path in order; None unless one map is all that is returned."""
        if len(self.out_indices) > 1:
            return None
        with self.using(arch):
            size, flat = self.input_size, self.space.encode(arch)
            stem = PathLayer(
                ('stem', size), partial(self.stem, size=size), (self.conv_stem, self.bn1)
            )
            layers = [stem]
            for i, stage in enumerate(self._path):
                for position, block in stage:
                    choice = 0 if position is None else flat[position]
                    key = (i, position, choice)
                    if not isinstance(block, nn.Identity):
                        layers.append(PathLayer(key, block, tuple(block.modules())))
        return layers

    # ---- forward -----------------------------------------------------------------------------

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, outs = self.stem(x, self.input_size), []
        for i, stage in enumerate(self._path):
            for _, block in stage:
                x = block(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def stem(self, x: Tensor, size: int | None = None) -> Tensor:
        """What every path begins with, at its size. (N, 3, H, W) -> (N, C, h, w)."""
        x = x if size is None else resize_images(x, size)
        return run_stem(x, self.conv_stem, self.bn1, self.space.skeleton)

    def train(self, mode: bool = True) -> 'ElasticSupernet':
        super().train(mode)
        for block in self._slices.values():
            block.follow()
        return self

    def __getstate__(self) -> dict:
        """Without the slices, which are made again: copies and files hold the weights once."""
        return {k: v for k, v in self.__dict__.items() if k not in ('_slices', '_path')}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._slices = {}
        self.set_arch(self.arch)

    def __prepare_scriptable__(self):
        """torch.jit.script asks for a module that it can read; there is none."""
        raise RuntimeError(NO_SCRIPT)

    # ---- export ------------------------------------------------------------------------------

    def cut(
        self, state_dict: Mapping[str, Tensor], arch: Arch, prefix: str = 'backbone.'
    ) -> dict[str, Tensor]:
        """The weights of a path, out of a checkpoint of this supernet: see :func:`cut_elastic`."""
        return cut_elastic(state_dict, arch, prefix, self.space)

    def build_network(self, arch: Arch) -> CreamNet:
        """A path as a fixed network, with weights of its own."""
        network, space = self.space.network(arch)
        return CreamNet(network, space=space.to_dict(), norm_cfg=self.norm_cfg)

    def export(self, arch: Arch, **kwargs: Any) -> CreamNet:
        """A fixed network of its own with this path's weights.

        Its batch norm has the full network's statistics: measure its own before it is used.

        Args:
            arch (Arch): The path.
            **kwargs: Further arguments of :class:`CreamNet`.
        """
        network, space = self.space.network(self.space.validate(arch))
        kwargs = {'out_indices': self.out_indices, 'norm_cfg': self.norm_cfg, **kwargs}
        net = CreamNet(network, space=space.to_dict(), **kwargs).to(self.conv_stem.weight)
        net.load_state_dict(self.cut(self.state_dict(), arch, prefix=''))
        return net

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        space = argument_names(MBConvSpace) | {'preset', 'type'}
        return dict(super().nested_arguments(), space=space)
