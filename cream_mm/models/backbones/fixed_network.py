"""What the fixed networks of all kinds of spaces have in common, and which class is whose."""

from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any, ClassVar

import torch.nn as nn
from mmengine.model import BaseModule
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import MODELS, argument_names, type_name
from ...spaces import Space
from ...structures import Arch

NO_SCRIPT = (
    'torch.jit.script cannot read this network; use torch.jit.trace(model, example) under '
    'torch.no_grad(), torch.export.export or torch.onnx.export'
)


class FixedNetwork(BaseModule):
    """One network of a search space, as a backbone.

    Beside the network itself a class says all that exports, detectors and counts have to know of
    its kind of space. A new kind joins by a class of its own that is registered for its spaces:
    ``network_class.register(MySpace, lambda space: MyNet)``.

    Attributes:
        arch (Arch): The network.
        space (Space): Its space, :meth:`Space.of_network`.
        frozen_stages (int): -1 for none; see :meth:`frozen_modules`.
        norm_eval (bool): Whether BN layers stay in eval mode while training.
        space_class (type[Space]): Of the kind.
        next_steps (dict[str, str]): Configs below ``configs/``, of ``retrain`` and ``detector``,
            that an export builds on where the search names none.
        images (dict): ``input_size`` and ``crop_pct`` of the images, where nobody says them.
        stem_norm (str): The norm that the board's FLOPs leave out; '' where they leave out none.
    """

    shares_weights = False  # one network, and no supernet

    space_class: ClassVar[type[Space]]
    next_steps: ClassVar[Mapping[str, str]]
    images: ClassVar[Mapping[str, Any]] = dict(input_size=[224, 224], crop_pct=0.875)
    stem_norm: ClassVar[str] = ''

    arch: Arch
    space: Space
    frozen_stages: int = -1
    norm_eval: bool = False

    # ---- of any network of the kind --------------------------------------------------------------

    @classmethod
    def map_channels(cls, arch: Arch, space: Space) -> tuple[int, ...]:
        """Channels of each map that ``out_indices`` can name."""
        return space.stage_channels

    @classmethod
    def map_strides(cls, arch: Arch, space: Space) -> tuple[int, ...]:
        """Strides of these maps, in pixels."""
        return space.stage_strides

    @classmethod
    def feature_indices(cls, arch: Arch, space: Space) -> tuple[int, ...]:
        """Which of these maps a detector takes: one of each resolution that it can use."""
        return tuple(range(len(cls.map_channels(arch, space))))

    @classmethod
    def last_map(cls, arch: Arch, space: Space) -> int:
        """The map with which nothing of the network is left to run."""
        return len(cls.map_channels(arch, space)) - 1

    @classmethod
    def head_settings(
        cls,
        arch: Arch,
        space: Space,
        hidden_channels: int | None = None,
        norm_cfg: Mapping | None = None,
    ) -> dict:
        """Arguments of a :class:`~cream_mm.models.CreamClsHead` that the network decides.

        Args:
            arch, space (Arch, Space): The network in front of it.
            hidden_channels (int, optional): Of its conv1x1, 0 for none. Defaults to the space's.
            norm_cfg (dict, optional): As the network's.

        Returns:
            dict: ``in_channels``, ``hidden_channels``, and where the head has a norm layer
            ``norm_cfg`` and ``act``.
        """
        channels = cls.map_channels(arch, space)[-1]
        return dict(in_channels=channels, hidden_channels=hidden_channels or 0)

    @classmethod
    def head_channels(cls, arch: Arch, space: Space) -> dict[str, int]:
        """Channels of other maps that a head may take in training, by the head's arguments."""
        return {}

    @classmethod
    def config(cls, arch: Arch, space: Space, **more: Any) -> dict:
        """The config of a network, as an export writes it."""
        network = dict(arch=space.write(arch), space=space.to_dict())
        return dict(type=f'cream_mm.{cls.__name__}', **network, **more)

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(space=argument_names(cls.space_class) | {'type'})

    # ---- of this one -----------------------------------------------------------------------------

    def draw_weights(self) -> None:
        """Set all weights as a training from scratch begins. Torch's own are left as they are."""

    def build_network(self, arch: Arch) -> 'FixedNetwork':
        """Another network of the same space, with weights of its own."""
        return type(self)(arch, space=self.space.of_network(arch).to_dict())

    def frozen_modules(self) -> Iterator[nn.Module]:
        """What ``frozen_stages`` freezes."""
        return iter(())

    def freeze(self) -> None:
        """Freeze what is to be frozen: no gradients, norms in eval mode."""
        for module in self.frozen_modules():
            module.eval()
            for param in module.parameters():
                param.requires_grad = False

    def train(self, mode: bool = True) -> 'FixedNetwork':
        super().train(mode)
        self.freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def __prepare_scriptable__(self):
        """torch.jit.script asks for a module that it can read; there is none."""
        raise RuntimeError(NO_SCRIPT)


@singledispatch
def network_class(space: Space) -> type[FixedNetwork]:
    """The class of a space's fixed networks.

    Raises:
        ValueError: If there is none.

    >>> from cream_mm.spaces import MBConvSpace
    >>> network_class(MBConvSpace()).__name__
    'CreamNet'
    """
    raise ValueError(f'no fixed networks of a {type(space).__name__} are known')


def own_class(backbone: Mapping) -> type[FixedNetwork] | None:
    """The class of a backbone's config, if that is a fixed network of ours."""
    kind = backbone.get('type')
    if isinstance(kind, str) and kind.startswith('cream_mm.'):
        MODELS.import_from_location()
        kind = MODELS.module_dict.get(type_name(kind))
    return kind if isinstance(kind, type) and issubclass(kind, FixedNetwork) else None
