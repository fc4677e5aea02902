"""The weight-sharing network that holds every path of an MBConv space."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch.nn as nn
from torch import Tensor

from ...registry import MODELS, argument_names
from ...spaces import MBConvSpace
from ...structures import Arch
from ..backbones.cream_net import CreamNet, check_out_indices
from ..backbones.fixed_network import NO_SCRIPT
from ..backbones.pretrained import init_backbone
from ..layers import (
    build_choice,
    build_first,
    build_last,
    build_norm,
    build_stem,
    norm_of,
    run_stem,
)
from ..layers.init import init_cream_weights
from .cut_path import cut_path
from .path_layer import PathLayer
from .supernet import Supernet


@MODELS.register_module()
class CreamSupernet(Supernet):
    """All choices at every layer; ``forward`` runs the one path that was set.

    To a classifier or detector it is an ordinary backbone: plain single-path training is an
    unchanged mmpretrain classifier around it.

    Args:
        space (dict | str | MBConvSpace, optional): The search space, see
            :meth:`MBConvSpace.build`. Defaults to Cream's.
        costs (dict, optional): How paths are counted, arguments of
            :func:`build_cost_model`: ``dict(input_size=224, num_classes=1000)`` for a classifier,
            ``head_channels=0`` if its head has pool and linear alone;
            ``dict(input_size=(800, 1333), head=None)`` counts the backbone of a detector. None:
            whoever builds it calls :meth:`set_costs`.
        budget (dict, optional): Bounds on these costs, e.g. ``dict(macs_m=(200, 600))``; see
            :class:`Budget`. Defaults to none.
        out_indices (Sequence[int], optional): Which of ``blocks.0`` ... ``blocks.6`` to return.
            Defaults to the last.
        norm_cfg (dict, optional): Norm layers. Defaults to ``dict(type='BN')``, with the
            ``bn_eps`` of the space.
        init_cfg (dict, optional): As everywhere in OpenMMLab, but with ``type='Pretrained'`` every
            tensor has to be in ``checkpoint``; with ``partial=True`` what fits is taken. Of
            ``prefix``, ``module.``, ``_orig_mod.``, ``model.`` and ``backbone.`` are found.

    Attributes:
        arch (Arch): The path that ``forward`` runs. Set it with :meth:`set_arch`.
        budget (Budget): The bounds; ``budget.cost_model`` counts a path.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        Cream, released supernet; keys are its ``blocks.{stage}.{layer}.{choice}.*``.
        Differs: no unused fifth layer in stage 3; the matching network lives in the algorithm.
    """

    weights_travel = True  # a path's weights are those of the fixed network, see :meth:`cut`

    def __init__(
        self,
        space: Mapping | str | MBConvSpace | None = None,
        *,
        costs: Mapping | None = None,
        budget: Mapping | None = None,
        out_indices: Sequence[int] | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(MBConvSpace.build(space), costs, budget, init_cfg)
        norm_cfg = norm_of(self.space, norm_cfg)
        self.norm_cfg = norm_cfg
        self.out_indices = check_out_indices(out_indices, self.space)

        channels = self.space.stage_channels
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        self.conv_stem = build_stem(self.space)
        self.bn1 = build_norm(norm_cfg, self.space.stem_width)
        stages: list[list[nn.ModuleList]] = [[] for _ in channels]
        stages[0] += [nn.ModuleList([block]) for block in build_first(self.space, norm_cfg)]
        for spec in self.space.layers():
            stages[spec.stage].append(
                nn.ModuleList(
                    build_choice(self.space, spec, choice, norm_cfg)
                    for choice in range(len(self.space.choices))
                )
            )
        stages[-1] += [nn.ModuleList([block]) for block in build_last(self.space, norm_cfg)]
        self.blocks = nn.ModuleList(nn.ModuleList(stage) for stage in stages)
        self.set_arch(self.space.decode([0] * self.space.num_layers))

    def init_weights(self) -> None:
        """As :meth:`CreamNet.init_weights`."""
        init_backbone(self, init_cream_weights, super().init_weights)

    # ---- the path ----------------------------------------------------------------------------

    def set_arch(self, arch: Arch) -> None:
        """Make ``arch`` the path that ``forward`` runs.

        Raises:
            ValueError: If ``arch`` is not a network of the space.
        """
        super().set_arch(arch)
        middle = [
            [self.route(stage, layer, choice) for layer, choice in enumerate(choices)]
            for stage, choices in enumerate(arch.stages, start=1)
        ]
        last = self.space.num_stages + 1
        first, final = ([self.route(i, 0, 0)] if len(self.blocks[i]) else [] for i in (0, last))
        self._path = [first, *middle, final]

    def route(self, stage: int, layer: int, choice: int) -> nn.Module:
        """The one place that says which module a (layer, choice) uses."""
        return self.blocks[stage][layer][choice]

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module that the current path runs through."""
        yield from (self.conv_stem, self.bn1)
        for block in self.path_blocks():
            yield from block.modules()

    def path_blocks(self) -> Iterator[nn.Module]:
        """What the current path runs after the stem, in order."""
        for stage in self._path:
            yield from stage

    def path_layers(self, arch: Arch) -> list[PathLayer] | None:
        """The layers of a path in order; None unless the last one gives all that is returned."""
        if self.out_indices != (len(self.blocks) - 1,):
            return None
        with self.using(arch):
            layers = [PathLayer('stem', self.stem, (self.conv_stem, self.bn1))]
            for i, blocks in enumerate(self._path):
                for depth, block in enumerate(blocks):
                    if not isinstance(block, nn.Identity):
                        choice = arch.stages[i - 1][depth] if 0 < i <= len(arch.stages) else 0
                        key = (i, depth, choice)
                        layers.append(PathLayer(key, block, tuple(block.modules())))
        modules = [module for layer in layers for module in layer.norms]
        return layers if len({id(module) for module in modules}) == len(modules) else None

    # ---- forward -----------------------------------------------------------------------------

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        outs = []
        for i in range(self.out_indices[-1] + 1):
            x = self.forward_block(i, x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def stem(self, x: Tensor) -> Tensor:
        """The convolution that every path begins with. (N, 3, H, W) -> (N, C, h, w)."""
        return run_stem(x, self.conv_stem, self.bn1, self.space)

    def forward_block(self, i: int, x: Tensor) -> Tensor:
        """Run ``blocks.{i}`` of the current path. (N, C_in, H, W) -> (N, C_out, h, w)."""
        for block in self._path[i]:
            x = block(x)
        return x

    def __prepare_scriptable__(self):
        """torch.jit.script asks for a module that it can read; there is none."""
        raise RuntimeError(NO_SCRIPT)

    def cut(
        self, state_dict: Mapping[str, Tensor], arch: Arch, prefix: str = 'backbone.'
    ) -> dict[str, Tensor]:
        """The weights of a path, out of a checkpoint of this supernet: see :func:`cut_path`."""
        return cut_path(state_dict, arch, prefix, self.space)

    def build_network(self, arch: Arch) -> CreamNet:
        """A fixed network of the space, with weights of its own."""
        return CreamNet(arch, space=dict(self.space.to_dict(), depths=arch.depths))

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        space = argument_names(MBConvSpace) | {'preset', 'type'}
        return dict(super().nested_arguments(), space=space)

    # ---- export ------------------------------------------------------------------------------

    def export(self, arch: Arch, **kwargs: Any) -> CreamNet:
        """A fixed network of its own with this path's weights.

        Args:
            arch (Arch): The path.
            **kwargs: Further arguments of :class:`CreamNet`.
        """
        self.space.validate(arch)
        kwargs = {'out_indices': self.out_indices, 'norm_cfg': self.norm_cfg, **kwargs}
        net = CreamNet(arch, space=self.space.to_dict(), **kwargs).to(self.conv_stem.weight)
        net.load_state_dict(self.cut(self.state_dict(), arch, prefix=''))
        return net
