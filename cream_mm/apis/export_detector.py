"""Puts a searched backbone into a detector's config: that of the repository, or the user's own.

Of the user's config everything stays but what the backbone decides: its feature maps by stride, the
channels of the neck, the normalisation of the images, the weights. What cannot be fitted is refused
in one line that names the file, the key, and what to change.
"""

import copy
import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, DefaultScope
from torch import nn

from ..checkpoints.load_weights import name_some
from ..config.carry import entries
from ..config.normalisation import in_bgr, refill
from ..files.arch_file import DETECTION
from ..models.backbones import network_class, own_class
from ..models.backbones.resolve_arch import resolve_arch
from ..registry import kind_of
from ..spaces import Space
from ..structures import Arch
from .create_model import IMAGENET_PREPROCESS
from .detector_config import find_detector, imports_of, in_one_line
from .export_config import WEIGHTS_BESIDE, ready, set_backbone, take_over
from .probe_maps import Maps, backbone_maps, build_module, neck_shapes, without_extras

DIVISOR = 32  # batches are padded to multiples of it, as mmdet's own configs do for strides to 32
# Of a run that was: another run has its own.
OF_A_RUN = ('work_dir', 'launcher', 'local_rank')
# Of a backbone: how it was trained, and what it was made of.
OF_A_BACKBONE = ('frozen_stages', 'norm_eval', 'norm_cfg', 'init_cfg', 'pretrained', 'dcn',
                 'plugins')  # fmt: skip
# Parts of a detector whose channels are not those of the maps, whatever their numbers are.
NO_HEADS = ('backbone', 'neck', 'data_preprocessor', 'train_cfg', 'test_cfg', 'shared_head')


# ---- fitting it ----------------------------------------------------------------------------------


def fit_default(
    cfg: Config, arch: Arch, space: Space, about: Mapping, *, with_weights: bool
) -> Config:
    """Put an architecture into a config of the repository, around a backbone of its kind.

    It takes over the number of workers, and what a detector's search says about data and batches;
    of the search of a backbone alone, the data.
    """
    keys = ('num_workers',)
    if about.get('task') == DETECTION:
        about = dict(about, num_classes=len(about.get('classes') or []) or None)
        keys = ('data_root', 'num_classes', 'num_workers', 'scale')
        if 'scale' in about:  # else its batches were of small images
            keys += ('batch_size',)
    take_over(cfg, about, keys)
    _swap_own(cfg.model, arch, space, about, with_weights, 'the config of next_steps: model')
    if about.get('preprocess') is not None:
        _normalise(cfg, about['preprocess'])
    return ready(cfg, scope='mmdet')


class DetectorFit:
    """Fits a detector's config of the user's to an architecture.

    Args:
        cfg (Config): What :func:`.detector_config.read_detector` returned.
        name (str): Of its file, for messages.

    Attributes:
        where (str): The part that is a detector, ``'model'`` or ``'model.detector'``.
        notes (list[str]): What was left out or changed beside the backbone, one line each.

    Raises:
        ValueError: If it is no detector's, or one that takes no other backbone.
    """

    def __init__(self, cfg: Config, name: str):
        self.cfg, self.name, self.scope = cfg, name, cfg.default_scope
        self.notes: list[str] = []
        self.where, self.detector = find_detector(cfg, name)
        self.old_type = str(self.detector.backbone.get('type'))
        self.old_names: list[str] = []  # of its parameters, and of those of ours
        self.names: list[str] = []
        self._before = copy.deepcopy(cfg.model)
        self._refuse_others()

    def put(
        self, arch: Arch, space: Space, about: Mapping, *, with_weights: bool
    ) -> Config:  # fmt: skip
        """Put an architecture into the config, in place, once.

        Args:
            arch, space (Arch, Space): The architecture.
            about (dict): What its file says beside: ``preprocess``, ``norm_cfg``.
            with_weights (bool): Whether ``weights.pth`` stands beside the config.

        Raises:
            ValueError: If it does not fit; one line says which key, why, and what to change.
        """
        self._is_own = own_class(self.detector.backbone) is network_class(space)
        if self._is_own:
            where = f'{self.name}: {self.where}'
            _swap_own(self.detector, arch, space, about, with_weights, where)
            if about.get('preprocess') is not None:
                self._fit_images(about['preprocess'])
        else:
            self._swap_foreign(arch, space, about, with_weights)
            given = about.get('preprocess')
            self._fit_images(IMAGENET_PREPROCESS if given is None else given)
            self._pad()
        self._drop_weights()
        model = self._built()
        self._fit_run(arch, space)
        self._fit_optimizer(model)
        return ready(self.cfg, scope='mmdet')

    def _say(self, line: str) -> None:
        self.notes.append(line)

    def _refusal(self, key: str, why: str) -> ValueError:
        return ValueError(f'{self.name}: {self.where}.{key} {why}')

    # ---- whose it is -----------------------------------------------------------------------------

    def _refuse_others(self) -> None:
        """A search, a classifier, and a detector that asks for more of its backbone than maps."""
        supernet = self._find(self.detector.backbone, f'{self.where}.backbone')
        if getattr(supernet, 'shares_weights', False):
            raise self._refusal(
                'backbone', 'is a supernet: this is the config of a search. Name a detector that '
                'the answer is to be put into'
            )  # fmt: skip
        for where, node in (('model', self.cfg.model), (self.where, self.detector)):
            cls = self._find(node, where)
            if 'BaseClassifier' in [base.__name__ for base in inspect.getmro(cls)]:
                raise ValueError(
                    f'{self.name}: {where} ({cls.__name__}) is a classifier, no detector; '
                    'retrain.py of the export is the config of a classifier'
                )
        self._class = cls

    def _find(self, node: Mapping, where: str) -> type:
        kind = node.get('type')
        if inspect.isclass(kind):
            return kind
        try:
            with MODELS.switch_scope_and_registry(self.scope) as registry:
                cls = registry.get(str(kind))
        except Exception:
            cls = None
        if cls is None:
            raise ValueError(
                f'{self.name}: {where}.type={kind!r} is not registered. Name its module in '
                'custom_imports, and install what it needs'
            )
        return cls

    # ---- another backbone ------------------------------------------------------------------------

    def _swap_foreign(self, arch: Arch, space: Space, about: Mapping, with_weights: bool) -> None:
        old = self.detector.backbone
        try:
            module = build_module(without_extras(old), self.scope)
            theirs = backbone_maps(module)
        except Exception as error:
            raise self._refusal(
                'backbone', f'({self.old_type}) cannot be run here to see its maps: '
                f'{in_one_line(error)}. Install what it needs, or put a ResNet with the same '
                'strides in its place'
            ) from None  # fmt: skip
        self.old_names = [f'backbone.{name}' for name, _ in module.named_parameters()]
        taken, space, indices = self._maps_of_ours(arch, space, theirs)
        backbone = dict(type=None, out_indices=indices)
        _set_weights(backbone, with_weights)
        set_backbone(backbone, arch, space, about)
        if old.get('with_cp'):
            backbone['with_cp'] = True
        self.detector['backbone'] = backbone
        ours = build_module(without_extras(backbone), self.scope)
        lacking = sorted(
            name for name in _asked_of_backbone(self._class) if not hasattr(ours, name)
        )
        if lacking:
            raise self._refusal(
                'type', f'({self._class.__name__}) takes no backbone without {", ".join(lacking)}, '
                f'as {self.old_type} has. Name a detector that takes any'
            )  # fmt: skip
        self.names = [f'backbone.{name}' for name, _ in ours.named_parameters()]
        self._say_dropped(old)
        channels = _channels(arch, space, indices)
        self._fit_neck(theirs, Maps(channels, theirs.strides[taken]), taken)

    def _maps_of_ours(
        self, arch: Arch, space: Space, theirs: Maps
    ) -> tuple[slice, Space, tuple[int, ...]]:
        """Which of their maps ours has, in which space, and by which indices.

        All of them if there is a space for that; else all but the finest, where the neck leaves
        those out, or but the coarsest, where it can make them of others.

        Raises:
            ValueError: If ours has other maps.
        """
        network = network_class(space)
        spaces = [space, *space.with_other_strides()]
        count, problem = len(theirs.strides), None
        for taken in (slice(0, count), *self._spared(count)):
            strides = theirs.strides[taken]
            found = []
            for other in spaces:
                try:
                    found.append((other, self._blocks(arch, other, strides, theirs.strides)))
                except ValueError as error:
                    problem = problem or error
            if len(strides) < count:
                maps = [Maps(_channels(arch, *item), strides) for item in found]
                does = [self._neck_does(theirs, taken, ours) for ours in maps]
                found = [item for item, ok in zip(found, does) if ok]
            # With the last of its maps none of it is idle.
            found.sort(key=lambda item: item[1][-1] < network.last_map(arch, item[0]))
            if found:
                other, indices = found[0]
                if other != space:
                    self._say_space(space, other, strides)
                return taken, other, indices
        if len(spaces) == 1:
            raise problem
        have = ', or '.join(str(network.map_strides(arch, other)) for other in spaces)
        raise self._refusal(
            'backbone', f'({self.old_type}) hands out maps of strides {theirs.strides}; those of '
            f'ours are {have}. Take a detector for other maps'
        )  # fmt: skip

    def _spared(self, count: int) -> Iterator[slice]:
        """Fewer of their maps, that the neck may do with."""
        necks = _necks(self.detector)
        if not necks or not isinstance(necks[0].get('in_channels'), (list, tuple)):
            return
        for first in range(1, min(necks[0].get('start_level') or 0, count - 1) + 1):
            yield slice(first, count)
        for last in range(count - 1, 0, -1):
            yield slice(0, last)

    def _say_space(self, space: Space, other: Space, strides: Sequence[int]) -> None:
        old, new = space.to_dict(), other.to_dict()
        told = ', '.join(f'{key}={new[key]}' for key in new if new[key] != old.get(key))
        self._say(
            f'{self.where}.backbone.space: {told}, for maps of stride '
            f'{", ".join(map(str, strides))}; weights and architecture are the same'
        )

    def _blocks(
        self, arch: Arch, space: Space, strides: Sequence[int], every: Sequence[int]
    ) -> tuple[int, ...]:
        """Maps of ours that have these strides; of several maps of one, the last ones.

        Raises:
            ValueError: If there are none.
        """
        found, network = [], network_class(space)
        own = network.map_strides(arch, space)
        last = {own[i]: i for i in network.feature_indices(arch, space)}
        for stride in dict.fromkeys(strides):
            mine = [i for i, s in enumerate(own) if s == stride and i <= last.get(stride, i)]
            count = strides.count(stride)
            if len(mine) < count:
                have = ', '.join(map(str, dict.fromkeys(own)))
                raise self._refusal(
                    'backbone', f'({self.old_type}) hands out {count} '
                    f'map{"s" if count > 1 else ""} of stride {stride} (all: {every}); ours has '
                    f'{len(mine) or "none"} (its strides: {have}). Take a detector for other maps'
                )  # fmt: skip
            found += mine[-count:]
        if found != sorted(found):
            raise self._refusal(
                'backbone', f'({self.old_type}) hands out maps of strides {every}; those of ours '
                'come with the finest first'
            )  # fmt: skip
        return tuple(found)

    def _say_dropped(self, old: Mapping) -> None:
        dropped = [
            key if isinstance(old[key], dict) else f'{key}={old[key]}'
            for key in OF_A_BACKBONE
            if old.get(key) not in (None, False, -1)
        ]
        if dropped:
            self._say(
                f'{self.where}.backbone: {", ".join(dropped)} of {self.old_type} left out; of ours '
                'nothing is frozen unless you say so'
            )
        synced = 'Sync' in str((old.get('norm_cfg') or {}).get('type'))
        if (old.get('norm_eval') or synced) and self.cfg.get('sync_bn') is None:
            self.cfg['sync_bn'] = 'torch'
            self._say("sync_bn='torch' added: on several GPUs batch norm uses the images of all")

    def _fit_neck(self, theirs: Maps, ours: Maps, taken: slice) -> None:
        """Channels of the neck and the heads; of their maps, ours has those of ``taken``."""
        detector = self.detector
        shared = (detector.get('roi_head') or {}).get('shared_head')
        if shared and not _necks(detector):
            detector['neck'] = dict(
                type='ChannelMapper', in_channels=list(ours.channels), kernel_size=1,
                out_channels=theirs.channels[-1], act_cfg=None, num_outs=len(ours.channels),
            )  # fmt: skip
            self._say(
                f'{self.where}.neck added: roi_head.shared_head ({shared.get("type")}) takes '
                f'{theirs.channels[-1]} channels, so a 1x1 convolution makes them of our '
                f'{ours.channels[-1]}'
            )
            return
        necks = copy.deepcopy(_necks(detector))
        where = f'{self.name}: {self.where}'
        if len(ours.channels) < len(theirs.channels):
            told = ', '.join(_spare_maps(_necks(detector)[0], taken, theirs))
            why = 'the finest was left out' if taken.start else 'what is missing it makes itself'
            self._say(f'{self.where}.neck: {told}; {why}')
        _fit_channels(detector, theirs.channels[taken], ours.channels, where)
        if not necks:
            return
        try:
            before = neck_shapes(necks, theirs, self.scope)
        except Exception as error:
            self._say(
                f'{self.where}.neck cannot be run here, so its maps were not compared: '
                f'{in_one_line(error)}'
            )
            return
        try:
            after = neck_shapes(_necks(detector), ours, self.scope)
        except Exception as error:
            raise self._refusal(
                'neck', f'({necks[0].get("type")}) runs on maps of {theirs.channels} channels and '
                f'not on ours, of {ours.channels}: {in_one_line(error)}. Change what else in it '
                'names the channels of the backbone'
            ) from None  # fmt: skip
        if [shape[1:] for shape in before] != [shape[1:] for shape in after]:
            raise self._refusal('neck', f'made maps (C, H, W) of {before}, and makes {after}')
        old, new = (tuple(shape[0] for shape in shapes) for shapes in (before, after))
        if old != new and not _swap_heads(detector, old, new):
            raise self._refusal(
                'neck', f'hands on maps of {new} channels, not {old}, and no in_channels of a head '
                'names those. Name them there'
            )  # fmt: skip

    def _neck_does(self, theirs: Maps, taken: slice, ours: Maps) -> bool:
        """Whether the neck hands on the same from fewer maps."""
        necks = copy.deepcopy(_necks(self.detector))
        if not _spare_maps(necks[0], taken, theirs):
            return False
        if not _swap_neck(necks[0], theirs.channels[taken], ours.channels):
            return False
        try:
            before = neck_shapes(_necks(self.detector), theirs, self.scope)
            return before == neck_shapes(necks, ours, self.scope)
        except Exception:  # of their code, which was written for other maps
            return False

    def _drop_weights(self) -> None:
        cfg = self.cfg
        if cfg.get('load_from'):
            self._say(f'load_from={cfg.load_from} left out: it has another backbone')
            cfg.pop('load_from')
        for where, node in {'model': cfg.model, self.where: self.detector}.items():
            init = node.get('init_cfg')
            if isinstance(init, dict) and 'Pretrained' in str(init.get('type')):
                self._say(f'{where}.init_cfg={init.get("checkpoint")} left out: it has another '
                          'backbone')  # fmt: skip
                node.pop('init_cfg')

    def _built(self) -> nn.Module | None:
        """The whole model, if it can be built; where theirs cannot be, nothing is said of ours.

        Raises:
            ValueError: If theirs can be built, and ours cannot.
        """
        if 'language_model' in self.cfg.model:
            return None  # would be fetched
        try:
            return build_module(_without_download(self.cfg.model), self.scope)
        except Exception as error:
            reason = in_one_line(error)
        try:
            build_module(_without_download(self._before), self.scope)
        except Exception:
            self._say(f'model cannot be built here, with either backbone: {reason}')
            return None
        raise ValueError(
            f'{self.name}: model can be built with {self.old_type}, and not with our backbone: '
            f'{reason}. Change what else names the channels of the backbone'
        )

    # ---- images ----------------------------------------------------------------------------------

    def _fit_images(self, new: Mapping) -> None:
        model = self.cfg.model
        if not _preprocessors(model):
            model['data_preprocessor'] = dict(type='DetDataPreprocessor')
        changed = _normalise(self.cfg, new)
        others = [key for key in ('teacher_config', 'teacher_backbone', 'reid') if key in model]
        if changed and others:
            self._say(f'model.{others[0]} gets images that are normalised for our backbone')

    def _pad(self) -> None:
        if _fixed_size(self.cfg):
            return  # nothing to pad
        for node in _preprocessors(self.cfg.model):
            old = node.get('pad_size_divisor') or 1
            if old % DIVISOR:
                node['pad_size_divisor'] = math.lcm(old, DIVISOR)

    # ---- how it is trained -----------------------------------------------------------------------

    def _fit_run(self, arch: Arch, space: Space) -> None:
        cfg = self.cfg
        for key in OF_A_RUN:
            cfg.pop(key, None)
        names = dict.fromkeys(['cream_mm', *imports_of(cfg)])
        cfg['custom_imports'] = {**(cfg.get('custom_imports') or {}), 'imports': list(names)}
        if self.detector.backbone.out_indices[-1] < network_class(space).last_map(arch, space):
            wrapper = cfg.get('model_wrapper_cfg')
            (cfg if wrapper is None else wrapper)['find_unused_parameters'] = True
            self._say('find_unused_parameters=True set: the blocks after its last map are not run')

    def _fit_optimizer(self, model: nn.Module | None) -> None:
        wrapper = self.cfg.get('optim_wrapper') or {}
        custom = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
        dead = [
            key
            for key in custom
            if any(key in name for name in self.old_names)
            and not any(key in name for name in self.names)
        ]
        if dead:
            self._say(
                f'optim_wrapper.paramwise_cfg.custom_keys: no layer of our backbone is named by '
                f'{name_some(dead)}, of {self.old_type}'
            )
        if self._is_own or model is None or not wrapper.get('constructor'):
            return
        try:
            with DefaultScope.overwrite_default_scope(self.scope):
                OPTIM_WRAPPER_CONSTRUCTORS.build(
                    dict(
                        type=wrapper.constructor,
                        optim_wrapper_cfg=dict(
                            type='OptimWrapper', optimizer=copy.deepcopy(wrapper.optimizer)
                        ),
                        paramwise_cfg=copy.deepcopy(wrapper.get('paramwise_cfg')),
                    )
                )(model)
        except Exception as error:
            kind = wrapper.pop('constructor')
            wrapper.pop('paramwise_cfg', None)
            self._say(
                f'optim_wrapper.constructor={kind} and its paramwise_cfg left out: it does not '
                f'know our backbone ({in_one_line(error)})'
            )


def _asked_of_backbone(cls: type) -> set[str]:
    """What the code of a detector takes of its backbone, other than maps."""
    asked = set()
    for base in inspect.getmro(cls):
        try:
            asked |= set(re.findall(r'self\.backbone\.(\w+)', inspect.getsource(base)))
        except (OSError, TypeError):  # no text: built in, or typed at a prompt
            continue
    return asked


def _without_download(model: Mapping) -> dict:
    """A model's config without weights that it fetches as soon as it is built."""
    return {key: None if key == 'teacher_ckpt' else value for key, value in model.items()}


# ---- a backbone of ours --------------------------------------------------------------------------


def _swap_own(
    detector: dict, arch: Arch, space: Space, about: Mapping, with_weights: bool, where: str
) -> None:
    """Give a detector around a network of the same kind another one; its settings stay.

    Raises:
        ValueError: If it takes maps that the network does not have.
    """
    backbone = detector['backbone']
    count = len(network_class(space).map_channels(arch, space))
    indices = tuple(backbone.get('out_indices') or (count - 1,))
    if max(indices) >= count:
        raise ValueError(
            f'{where}.backbone.out_indices={indices}, but {arch} has {count} '
            'blocks, counted from 0; name others, and neck.in_channels with them'
        )
    old = _own_channels(detector)
    its_space = backbone.get('space') or {}
    if isinstance(its_space, str) or 'depths' in its_space:
        its_space = {}  # another architecture's; else it changes every one's
    elif its_space.keys() >= space.to_dict().keys():  # an export's: the strides are the detector's
        others = [other.to_dict() for other in space.with_other_strides()]
        its_space = {
            key: value for key, value in its_space.items()
            if any(other.get(key) != space.to_dict().get(key) for other in others)
        }  # fmt: skip
    set_backbone(backbone, arch, space, about, its_space=its_space)
    backbone['out_indices'] = indices
    _set_weights(backbone, with_weights)
    _fit_channels(detector, old, _channels(arch, space, indices), where)


def _own_channels(detector: Mapping) -> tuple[int, ...]:
    """Channels of the maps of a network of ours: from its neck, as its file may not be there."""
    backbone, necks = detector['backbone'], _necks(detector)
    named = necks[0].get('in_channels') if necks else None
    if isinstance(named, (list, tuple)):
        return tuple(sorted(named))  # some necks count from the coarsest map, ours widen towards it
    if isinstance(named, int):
        return (named,)
    kind = own_class(backbone).space_class
    arch, space, _ = resolve_arch(backbone['arch'], backbone.get('space'), kind)
    channels = network_class(space).map_channels(arch, space)
    return _channels(arch, space, backbone.get('out_indices') or (len(channels) - 1,))


def _channels(arch: Arch, space: Space, indices: Sequence[int]) -> tuple[int, ...]:
    channels = network_class(space).map_channels(arch, space)
    return tuple(channels[i] for i in indices)


def _set_weights(backbone: dict, with_weights: bool) -> None:
    backbone.pop('init_cfg', None)
    if with_weights:
        backbone['init_cfg'] = dict(
            type='Pretrained', checkpoint=WEIGHTS_BESIDE, prefix='backbone.'
        )


# ---- channels ------------------------------------------------------------------------------------


def _necks(detector: Mapping) -> list[dict]:
    neck = detector.get('neck')
    return list(neck) if isinstance(neck, (list, tuple)) else [neck] if neck else []


def _fit_channels(
    detector: dict, old: tuple[int, ...], new: tuple[int, ...], where: str
) -> None:  # fmt: skip
    """Change the channels of a backbone's maps where they are taken: in the neck, or in the heads.

    Raises:
        ValueError: If nothing takes maps of the old channels.
    """
    necks = _necks(detector)
    if necks:
        if not _swap_neck(necks[0], old, new):
            raise ValueError(
                f'{where}.neck ({necks[0].get("type")}): in_channels='
                f'{necks[0].get("in_channels")}, but the maps of its backbone have {old} channels'
            )
    elif not _swap_heads(detector, old, new):
        raise ValueError(
            f'{where} has no neck, and no in_channels of a head names the channels of its '
            f"backbone's maps, {old}. Add a neck, for example dict(type='ChannelMapper', ...)"
        )


def _spare_maps(neck: dict, taken: slice, theirs: Maps) -> list[str]:
    """Let a neck begin or end at another map of its backbone, in place.

    Returns:
        list[str]: What was changed; empty if it takes the maps in no order that is known.
    """
    named = list(neck['in_channels'])
    steps = [step for step in (1, -1) if tuple(named[::step]) == theirs.channels]
    if not steps:
        return []
    neck['in_channels'] = named[:: steps[0]][taken][:: steps[0]]
    changed = [f'takes {len(neck["in_channels"])} of {len(named)} maps']
    for key in ('start_level', 'end_level'):
        if taken.start and isinstance(neck.get(key), int) and neck[key] > 0:
            neck[key] -= taken.start
            changed.append(f'{key}={neck[key]}')
    return changed


def _swapped(value: Any, old: tuple[int, ...], new: tuple[int, ...]) -> Any:
    """The new channels in the form of the old ones, or None if they are others."""
    if isinstance(value, (list, tuple)):
        count = len(value)
        for step in (1, -1):
            for i in range(len(old) - count, -1, -1):  # some take the last maps alone
                if tuple(value) == old[i : i + count][::step]:
                    return type(value)(new[i : i + count][::step])
    elif isinstance(value, int):
        if value == old[-1]:
            return new[-1]
        if old.count(value) == 1:
            return new[old.index(value)]
    return None


def _swap_neck(neck: dict, old: tuple[int, ...], new: tuple[int, ...]) -> int:
    """Returns the number of places that named the old channels."""
    count = 0
    for key, value in list(neck.items()):
        if 'channel' not in key:
            continue
        if key.startswith('out'):
            # A neck that hands on what it gets, and adds to it.
            passed = isinstance(value, (list, tuple)) and len(value) > len(old)
            if passed and tuple(value[: len(old)]) == old:
                neck[key] = type(value)([*new, *value[len(old) :]])
        elif (other := _swapped(value, old, new)) is not None:
            neck[key] = other
            count += 1
    return count


def _swap_heads(detector: dict, old: tuple[int, ...], new: tuple[int, ...]) -> int:
    """Returns the number of places that named the old channels."""
    count = 0
    for key, value in detector.items():
        if key not in NO_HEADS:
            count += _swap_below(value, key, old, new)
    return count


def _swap_below(node: Any, inside: str, old: tuple[int, ...], new: tuple[int, ...]) -> int:
    if isinstance(node, (list, tuple)):
        return sum(_swap_below(item, inside, old, new) for item in node)
    if not isinstance(node, dict):
        return 0
    count = 0
    for key, value in list(node.items()):
        # An extractor of regions hands on what it takes.
        named = key == 'in_channels' or key == 'out_channels' and 'extractor' in inside
        alone = not isinstance(value, int) or len(set(old)) == 1
        if named and alone and (other := _swapped(value, old, new)) is not None:
            node[key] = other
            count += 1
        elif key not in NO_HEADS:
            count += _swap_below(value, key, old, new)
    return count


# ---- images --------------------------------------------------------------------------------------


def _preprocessors(model: dict) -> list[dict]:
    """Of the model and of the detector in it; those that normalise, not those that hold one."""
    found = []
    for part in (model, model.get('detector')):
        node = part.get('data_preprocessor') if isinstance(part, dict) else None
        while isinstance(node, dict) and isinstance(node.get('data_preprocessor'), dict):
            node = node['data_preprocessor']
        if isinstance(node, dict):
            found.append(node)
    return found


def _normalise(cfg: Config, new: Mapping) -> bool:
    """Normalise images as the search did, and fill what is left empty with its mean, in place.

    Args:
        cfg (Config): A detector's.
        new (dict): ``mean``, ``std``, in the order of the model's channels, and ``to_rgb``.

    Returns:
        bool: Whether it did otherwise before.
    """
    new = dict(dict(mean=None, std=None, to_rgb=False), **new)
    outside = {key: value for key, value in cfg.items() if key != 'model'}
    nodes = _preprocessors(cfg.model)
    steps = [
        node
        for node, key in entries(outside)
        if key == 'type' and kind_of(node) == 'Normalize' and {'mean', 'std'} <= node.keys()
    ]
    if steps and not any(node.get('mean') for node in nodes):  # the pipelines do it
        old = in_bgr(steps[0], 'to_rgb')
        values = dict(mean=new['mean'] or [0.0] * 3, std=new['std'] or [1.0] * 3)
        values['to_rgb'] = new['to_rgb']
        nodes = steps
    else:
        old = in_bgr(nodes[0], 'bgr_to_rgb')
        values = dict(mean=new['mean'], std=new['std'], bgr_to_rgb=new['to_rgb'])
    refill(outside, old, in_bgr(new, 'to_rgb'))
    for node in nodes:
        mine = dict(values)
        if node.get('rgb_to_bgr'):  # its images are loaded as RGB
            mine.update(bgr_to_rgb=False, rgb_to_bgr=not new['to_rgb'])
        node.update(mine)
    return old != in_bgr(new, 'to_rgb')


def _fixed_size(cfg: Config) -> bool:
    """Whether every image has one size, and not a multiple of what batches are padded to."""
    steps = [node for node, key in entries(cfg.get('test_dataloader')) if key == 'type']
    scales = [s['scale'] for s in steps if kind_of(s) == 'Resize' and not s.get('keep_ratio')
              and isinstance(s.get('scale'), (list, tuple))]  # fmt: skip
    return any(side % DIVISOR for scale in scales for side in scale if isinstance(side, int))
