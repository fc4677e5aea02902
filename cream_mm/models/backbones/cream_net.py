"""A fixed Cream network, as a backbone for mmpretrain classifiers and mmdet detectors."""

from collections.abc import Iterator, Mapping, Sequence

import torch.nn as nn
import torch.utils.checkpoint as cp
from torch import Tensor

from ...registry import MODELS
from ...spaces import MBConvSpace
from ...structures import Arch
from ..layers import (
    build_choice,
    build_first,
    build_last,
    build_norm,
    build_stem,
    head_settings,
    norm_of,
    run_stem,
    set_drop_paths,
)
from ..layers.init import init_cream_weights
from .fixed_network import FixedNetwork, network_class
from .pretrained import init_backbone
from .resolve_arch import resolve_arch


@MODELS.register_module()
class CreamNet(FixedNetwork):
    """A fixed network of the MBConv space.

    Args:
        arch (str | list | Arch): A published name, an exported JSON file or a nested list; see
            :func:`resolve_arch`.
        space (dict | str, optional): Another space than Cream's, e.g. ``dict(width_mult=0.5)`` or
            ``'nas_bench_macro'``.
        out_indices (Sequence[int], optional): Which of ``blocks.0`` ... ``blocks.6`` to return.
            Defaults to the last; detectors take ``space.feature_indices``, in Cream's space
            (1, 2, 4, 6), strides 4, 8, 16, 32.
        frozen_stages (int): -1 freezes nothing, 0 the stem, n the stem and the blocks before
            ``blocks.{n}``. Defaults to -1.
        norm_eval (bool): Keep BN layers in eval mode while training. Defaults to False.
        with_cp (bool): Recompute blocks in the backward pass to save memory. Defaults to False.
        norm_cfg (dict, optional): Norm layers. Defaults to what an exported JSON says, else
            ``dict(type='BN')``, with the ``bn_eps`` of the space.
        drop_path_rate (float): In training, block k of the n of ``blocks.0`` to the last stage
            lets an image pass by its shortcut, if it has one, at this rate times k / n. Defaults
            to 0.
        init_cfg (dict, optional): As everywhere in OpenMMLab, but with ``type='Pretrained'`` every
            tensor has to be in ``checkpoint``; with ``partial=True`` what fits is taken. Of
            ``prefix``, ``module.``, ``_orig_mod.``, ``model.`` and ``backbone.`` are found.

    Attributes:
        out_channels (tuple[int]): Channels of the returned maps.

    Shapes:
        input: (N, 3, H, W). output: tuple of (N, C_i, H_i, W_i), one per out index.

    Reference:
        Cream, released networks; parameter names are theirs.
    """

    space_class = MBConvSpace
    next_steps = dict(
        retrain='configs/cream/retrain_imagenet.py', detector='configs/retinanet_cream.py'
    )
    stem_norm = 'bn1'

    def __init__(
        self,
        arch: str | Sequence | Arch,
        *,
        space: dict | str | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        drop_path_rate: float = 0.0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.arch, self.space, about = resolve_arch(arch, space, MBConvSpace)
        norm_cfg = norm_of(self.space, norm_cfg or about.get('norm_cfg'))
        self.out_indices = check_out_indices(out_indices, self.space)
        if not -1 <= frozen_stages <= self.space.num_stages + 2:
            raise ValueError(
                f'frozen_stages must be -1 to {self.space.num_stages + 2}; got {frozen_stages}'
            )
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp

        channels = self.space.stage_channels
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        self.conv_stem = build_stem(self.space)
        self.bn1 = build_norm(norm_cfg, self.space.stem_width)
        stages = [[] for _ in channels]
        stages[0] += build_first(self.space, norm_cfg)
        for spec in self.space.layers():
            choice = self.arch.stages[spec.stage - 1][spec.layer]
            stages[spec.stage].append(build_choice(self.space, spec, choice, norm_cfg))
        set_drop_paths([block for stage in stages[:-1] for block in stage], drop_path_rate)
        stages[-1] += build_last(self.space, norm_cfg)
        self.blocks = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.freeze()

    def init_weights(self) -> None:
        """Cream's initialisation, then ``init_cfg`` (e.g. ``Pretrained``) over it.

        Raises:
            FileNotFoundError: If ``init_cfg`` names a checkpoint that is not there.
            ValueError: If not every tensor of the network is in it.
        """
        init_backbone(self, init_cream_weights, super().init_weights)
        self.freeze()

    def draw_weights(self) -> None:
        """Cream's initialisation alone."""
        init_cream_weights(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = run_stem(x, self.conv_stem, self.bn1, self.space)
        outs = []
        for i, block in enumerate(self.blocks):
            if self.with_cp and x.requires_grad:
                x = cp.checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
            if i in self.out_indices:
                outs.append(x)
            if i == self.out_indices[-1]:
                break  # a detector does not pay for what it does not take
        return tuple(outs)

    def frozen_modules(self) -> Iterator[nn.Module]:
        """The stem and the first blocks."""
        if self.frozen_stages >= 0:
            yield from (self.conv_stem, self.bn1, *self.blocks[: self.frozen_stages])

    # ---- of any network of the space ---------------------------------------------------------

    @classmethod
    def feature_indices(cls, arch: Arch, space: MBConvSpace) -> tuple[int, ...]:
        """See :attr:`MBConvSpace.feature_indices`."""
        return space.feature_indices

    @classmethod
    def last_map(cls, arch: Arch, space: MBConvSpace) -> int:
        """The last block that holds anything."""
        return space.last_block

    @classmethod
    def head_settings(
        cls,
        arch: Arch,
        space: MBConvSpace,
        hidden_channels: int | None = None,
        norm_cfg: Mapping | None = None,
    ) -> dict:
        """See :func:`~cream_mm.models.layers.head_settings`."""
        return head_settings(space, hidden_channels, norm_cfg)

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Also the name of a preset, from which the others change the space."""
        return dict(space=super().nested_arguments()['space'] | {'preset'})


network_class.register(MBConvSpace, lambda space: CreamNet)


def check_out_indices(out_indices: Sequence[int] | None, space: MBConvSpace) -> tuple[int, ...]:
    """Sorted tuple of valid block indices; None is the last block.

    Raises:
        ValueError: If an index does not name a block.
    """
    last = space.num_stages + 1
    if out_indices is None:
        return (last,)
    if not out_indices or any(not 0 <= i <= last for i in out_indices):
        raise ValueError(f'out_indices must lie in 0..{last}; got {tuple(out_indices)}')
    return tuple(sorted(out_indices))
