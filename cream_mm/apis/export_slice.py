"""The weights of slices of a full network, and that network, for an export."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import Tensor

from ..checkpoints import find_mismatch, load_weights
from ..config.carry import carry
from ..config.work_dir import config_file
from ..evaluation.kept_batches import KeptBatches
from ..files import write_whole
from ..files.arch_file import DETECTION
from ..models.backbones import CreamNet
from ..models.backbones.published import published_nets
from ..models.layers.bn_policy import recalibrated
from ..models.layers.resize_images import resize_images
from ..models.supernets import ElasticSupernet, cut_weights
from ..models.supernets.cut_elastic import cut_elastic
from ..spaces import ElasticSpace, Space
from ..structures import Arch
from ..structures.randomness import named_rng
from .open_search import search_config

FULL = 'full.pth'
# For the statistics of an exported slice, which stay, more than for a rating; not beyond what took
# the pilot's networks to their figures.
MORE_BN_IMAGES, MAX_BN_IMAGES = 2, 1024

Network = tuple[Arch, Space, Mapping]  # and what its file says beside


class Sliced(NamedTuple):
    """What a slice of a full network is exported with."""

    weights: dict[str, Tensor] | None  # its own
    teacher: str | None  # the full network's file, as the config beside them names it


def places(work_dir: Path, checkpoint: str | Path | None) -> list[Path]:
    """Where a search left its config and the full network."""
    with_file = checkpoint is not None and str(checkpoint) not in published_nets
    return [work_dir, *([Path(checkpoint).parent] if with_file else [])]


def slices_of(
    networks: Sequence[Network],
    checkpoint: str | Path | None,
    folders: Sequence[Path],
    teacher: str,
    say: Callable[[str], None] | None = None,
) -> tuple[Path | None, list[Sliced]]:
    """The full network's file, and what each slice of it is exported with.

    Args:
        networks (Sequence): Architecture and space of each, and its file's content.
        checkpoint (str | Path, optional): The supernet.
        folders (Sequence[Path]): Where the search's config and the full network may lie.
        teacher (str): How a config names the full network.
        say (callable, optional): Takes lines for the user.

    Raises:
        KeyError, ValueError: If the checkpoint is that of another model, or a file is damaged.
    """
    say = say or (lambda line: None)
    about = networks[0][2]
    full, why = None, ''
    if about.get('task') != DETECTION:  # whose configs have no teacher
        full, why = full_weights(folders, about.get('num_classes'))
    if why:
        say(f'no distillation in retrain.py: {why}')
    weights: list = [None] * len(networks)
    if checkpoint is not None and str(checkpoint) not in published_nets:
        weights = slice_weights(checkpoint, networks, folders, say)
    return full, [Sliced(own, teacher if full else None) for own in weights]


def slice_weights(
    checkpoint: str | Path,
    networks: Sequence[Network],
    work_dirs: Iterable[Path],
    say: Callable[[str], None],
) -> list[dict[str, Tensor]]:
    """Weights of slices, with the batch norm statistics that each has on training images.

    Those of the checkpoint are of no slice: each path that was trained moved them. Where the
    search's config or its images are gone, they are taken as they are, and a line says so.

    Args:
        checkpoint (str | Path): Of the supernet.
        networks (Sequence): Architecture and space of each network, and its file's content, with
            ``slice_of``.
        work_dirs (Iterable[Path]): Where the search's config may lie; it is run, as by any tool
            that takes a work directory.
        say (callable): Takes a line for the user.

    Returns:
        list[dict[str, Tensor]]: State dict of the whole model around each network.

    Raises:
        KeyError, ValueError: If the checkpoint is that of another model.
    """
    try:
        with _opened(checkpoint, work_dirs) as (model, images):
            found = [_recalibrated(model, images, about) for _, _, about in networks]
            number = images.at(None).num_images
    except FileNotFoundError as error:
        say(
            'mean and variance of batch norm are those that all networks left together, not '
            f'measured for each: {error}. Training by retrain.py sets them; do not use weights.pth '
            'as it is'
        )
        weights = load_weights(checkpoint)
        return [cut_weights(space, weights, arch, about=about) for arch, space, about in networks]
    say(
        'mean and variance of batch norm were measured for each network, on '
        f'{number} training images'
    )
    return found


class _Images:
    """Training images of a search under the test pipeline, at any size.

    A search reads them once, at the largest, and shrinks them for a slice of less. An export reads
    them at its own size, as its config does: the same photograph has sharper pixels then, and
    other statistics in the first layers.
    """

    def __init__(self, cfg: Config):
        self.cfg, self._batches = cfg, {}

    def at(self, size: int | None) -> KeptBatches:
        """Batches for a slice of an input size; None: as the search reads them."""
        cfg, own = self.cfg, self.cfg.get('input_size')
        size = own if size is None else size
        if size not in self._batches:
            settings = copy.deepcopy(cfg.test_cfg.bn_dataset)
            if size != own:
                carry(settings, dict(input_size=(own, size)))
            loader = cfg.test_dataloader
            number = min(
                MAX_BN_IMAGES, MORE_BN_IMAGES * cfg.test_cfg.get('num_bn_images', MAX_BN_IMAGES)
            )
            self._batches[size] = KeptBatches(
                DATASETS.build(settings), number, named_rng('export', 0, 0),
                batch_size=max(2, loader.batch_size), num_workers=loader.num_workers,
                spare_one=True,
            )  # fmt: skip
        return self._batches[size]


@contextmanager
def _opened(
    checkpoint: str | Path, work_dirs: Iterable[Path]
) -> Iterator[tuple[BaseModel, _Images]]:
    """The trained model of a search, and its training images.

    Raises:
        FileNotFoundError: If there is no config of it, or its images are gone.
        ValueError: If the checkpoint is that of another model.
    """
    cfg = search_config(_config_in(work_dirs))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        images = _Images(cfg)
        images.at(None)  # an error of the data before the weights are read
        model = MODELS.build(copy.deepcopy(cfg.model))
        weights = load_weights(checkpoint)
        if mismatch := find_mismatch(model.state_dict(), weights):
            raise ValueError(f'{checkpoint} is not a checkpoint of {cfg.filename}: {mismatch}')
        model.load_state_dict(weights, strict=False)  # counters may be left out
        yield model.to(get_device()), images


def _config_in(folders: Iterable[Path]) -> str:
    """The config that a search left in the first of the folders that has one.

    Raises:
        FileNotFoundError: If there is none; or several, of which none is known to be the one.
    """
    reasons = []
    for folder in dict.fromkeys(folders):
        try:
            return config_file(folder)
        except (FileNotFoundError, ValueError) as error:
            reasons.append(str(error))
    raise FileNotFoundError('; '.join(reasons))


@torch.no_grad()
def _recalibrated(model: BaseModel, images: _Images, about: Mapping) -> dict[str, Tensor]:
    """State dict of the model around a slice in the place of the supernet."""
    given, supernet = about['slice_of'], model.backbone
    space = ElasticSpace.build(given['space'])
    own = supernet.space  # a reference may be a slice that no path of the search is
    if (space.skeleton, space.full) != (own.skeleton, own.full):
        raise ValueError('the networks are slices of another full network than the checkpoint has')
    path = space.parse(given['arch'])
    size = space.input_size(path)
    batches = images.at(size)

    def run() -> None:
        for batch in batches:
            data = model.data_preprocessor(batch, False)
            if size is not None:  # a pipeline of somebody's own may keep its size
                data['inputs'] = resize_images(data['inputs'], size)
            model(**data, mode='tensor')

    model.backbone = _slice(supernet, space, path).to(get_device())
    try:
        with recalibrated(model.modules(), run):
            return {key: value.cpu().clone() for key, value in model.state_dict().items()}
    finally:
        model.backbone = supernet


def _slice(supernet: ElasticSupernet, space: ElasticSpace, path: Arch) -> CreamNet:
    """The network that a path is, of any space of slices of the full network."""
    arch, its_space = space.network(path)
    more = dict(out_indices=supernet.out_indices, norm_cfg=supernet.norm_cfg)
    net = CreamNet(arch, space=its_space.to_dict(), **more)
    net.load_state_dict(cut_elastic(supernet.state_dict(), path, '', space))
    return net


def full_weights(folders: Iterable[Path], num_classes: int | None) -> tuple[Path | None, str]:
    """The full network that a search's paths are slices of.

    Args:
        folders (Iterable[Path]): Where its file may lie.
        num_classes (int, optional): What its classifier has to have.

    Returns:
        tuple[Path | None, str]: Its file, in the first of the folders that has one; or None and
        why there is none.

    Raises:
        ValueError: If the file is damaged.
    """
    folders = list(dict.fromkeys(folders))
    found = next((folder / FULL for folder in folders if (folder / FULL).is_file()), None)
    if found is None:
        return None, f'no {FULL} in {" or ".join(map(str, folders))}'
    bias = load_weights(found).get('head.classifier.bias')
    if num_classes is not None and (bias is None or len(bias) != num_classes):
        return None, f'{found} is no classifier of {num_classes} classes'
    return found, ''


def copy_full(full: Path, out: Path) -> Path:
    """The full network's file, in the folder of an export."""
    target = out / FULL
    if not (target.exists() and target.samefile(full)):
        write_whole(target, full.read_bytes())
    return target
