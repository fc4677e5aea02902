"""Trains what a search of slices found, and what it is measured against, all by one recipe."""

import hashlib
import logging
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..checkpoints.whole_file import latest_checkpoint
from ..config import load_config
from ..config.carry import read_config
from ..config.work_dir import config_file
from ..costs import build_cost_model
from ..engine.work_dir_lock import hold_work_dir, release_work_dir
from ..evaluation.bootstrap import quiet
from ..files import write_json, write_whole
from ..files.arch_file import arch_content, read_arch_file
from ..files.front_file import read_steps
from ..files.slice_of import slice_content
from ..spaces import ElasticSpace
from .compare_record import FORMAT, answers, read_record, settings_hash
from .export_arch import export_arch
from .open_search import open_search
from .predict import open_model
from .reference_networks import (
    SLACK,
    Slice,
    full,
    lower_sizes,
    macs_m,
    narrower,
    random_paths,
    shallower,
)
from .train_paths import tool

EPOCHS = 12
SCRATCH_EPOCHS = 60
RANDOM_PATHS = 2
OFF_THE_SHELF = 'mobilenet-v2'

Say = Callable[[str], None]


class Network(NamedTuple):
    """One network of a comparison.

    Attributes:
        name (str): ``'found-50'``, ``'narrower-50'``, ...; its folder's name.
        kind (str): The name without the share.
        slices (tuple[Slice, ...]): What it is; of several, the hold-out chooses.
        share (float | None): Of the full network's MACs that it may have.
    """

    name: str
    kind: str
    slices: tuple[Slice, ...]
    share: float | None = None

    @property
    def is_trained(self) -> bool:
        """The teacher is only tested."""
        return self.kind != 'teacher'

    @property
    def epochs(self) -> int | None:
        """Where they are others than all the others'."""
        return SCRATCH_EPOCHS if self.kind == 'scratch' else None


class FinishedSearch:
    """The results of a search with :class:`ElasticSupernet`.

    Args:
        work_dir (str | Path): Its work directory.

    Raises:
        OSError, ValueError: If a file is missing or damaged, or the search is of another kind.
    """

    def __init__(self, work_dir: str | Path):
        self.work_dir = Path(work_dir)
        answer = self.work_dir / 'best_arch.json'
        self.about = read_arch_file(answer)
        given = self.about.get('slice_of')
        if given is None:
            raise ValueError(
                f'{answer} is no slice of a full network: a comparison is of a search such as '
                'configs/photos/search.py'
            )
        if self.about.get('task'):
            raise ValueError(f'{answer} is of a detector; a comparison is of classifiers')
        if self.about.get('multi_label'):
            raise ValueError(
                f'{answer} is of images with several labels; a comparison counts the images whose '
                'one label is right'
            )
        self.space = ElasticSpace.build(given['space'])
        size = self.space.input_sizes or self.about['input_size']
        classes, head = self.about['num_classes'], self.about['head_channels']
        self.costs = build_cost_model(self.space, size[0], classes, head)
        self.full_macs_m = macs_m(self.costs, full(self.space))
        self.full = self.work_dir / 'full.pth'
        if not self.full.is_file():
            raise FileNotFoundError(f'no {self.full}: the search writes the full network there')
        self.digest = hashlib.sha256(self.full.read_bytes()).hexdigest()[:16]

    def checkpoint(self) -> Path:
        """The supernet."""
        path = latest_checkpoint(self.work_dir)
        if path is None:
            raise FileNotFoundError(f'no checkpoint in {self.work_dir}')
        return path

    def found(self, share: float) -> Slice:
        """The costliest network of the front within a share of the full network's MACs.

        Raises:
            ValueError: If the front has none that is so cheap.
        """
        steps = []
        for step in read_steps(self.work_dir / 'front.json')[1]:
            space = ElasticSpace.build(step['slice_of']['space'])
            steps.append(Slice(space, space.parse(step['slice_of']['arch'])))
        within = [one for one in steps if self.share_of(one) <= share + 1e-9]
        if not within:
            least = min(map(self.share_of, steps), default=1)
            raise ValueError(
                f'the cheapest network of {self.work_dir / "front.json"} has {least:.3f} of the '
                f"full network's MACs, and none {share:g} or less: search within another budget"
            )
        return max(within, key=self.share_of)

    def share_of(self, one: Slice) -> float:
        """MACs as a share of the full network's."""
        return macs_m(self.costs, one) / self.full_macs_m

    def networks(
        self,
        shares: Sequence[float],
        seed: int = 0,
        *,
        hold_to_found: bool = True,
        say: Say = print,
    ) -> list[Network]:
        """What a comparison trains, those first that answer most.

        Args:
            shares (Sequence[float]): Of the full network's MACs.
            seed (int): Of the random paths.
            hold_to_found (bool): Where the found network lies more than :data:`SLACK` below a
                share, hold the references to what it costs, not to the share. Defaults to True.
            say (callable): Takes a line on a reference that cannot be made so cheap.
        """
        whole = (full(self.space),)
        rows = [Network('teacher', 'teacher', whole), Network('full', 'full', whole)]
        for share in sorted(set(shares), reverse=True):
            found = self.found(share)
            cost, percent = self.share_of(found), f'{100 * share:g}'
            args = self.space, self.costs, share
            if hold_to_found and cost < share - SLACK:
                args = *args[:2], cost
            rows.append(Network(f'found-{percent}', 'found', (found,), share))
            makers = {
                'lower-size': lower_sizes,
                'narrower': lambda *args: [narrower(*args)],
                'shallower': lambda *args: [shallower(*args)],
            }
            for kind, make in makers.items():
                try:
                    rows.append(Network(f'{kind}-{percent}', kind, tuple(make(*args)), share))
                except ValueError as error:
                    say(f'{kind}-{percent} is left out: {error}')
            try:
                drawn = random_paths(*args, RANDOM_PATHS, seed)
            except ValueError as error:
                say(f'random-{percent} is left out: {error}')
                continue
            for i, one in enumerate(drawn, start=1):
                rows.append(Network(f'random-{i}-{percent}', f'random-{i}', (one,), share))
        least = self.found(min(shares))
        rows.append(Network('scratch', 'scratch', (least,), min(shares)))
        rows.append(Network(OFF_THE_SHELF, OFF_THE_SHELF, whole))
        return rows


class Trainer:
    """Trains and tests networks of a comparison, each in a folder of its own.

    Args:
        search (FinishedSearch): What it is a comparison of.
        out (str | Path): For all of them.
        root (str | Path): The folder that holds ``configs/``.
        epochs (int): Of each training. Defaults to 12.
        seed (int): Of each training. Defaults to 0.
        options (Sequence[str]): ``KEY=VALUE``, overrides of every training's config.
        say (callable): Takes lines for the user.
    """

    def __init__(
        self,
        search: FinishedSearch,
        out: str | Path,
        *,
        root: str | Path,
        epochs: int = EPOCHS,
        seed: int = 0,
        options: Sequence[str] = (),
        say: Say = print,
    ):
        self.search, self.out, self.root = search, Path(out), Path(root)
        self.epochs, self.seed, self.options, self.say = epochs, seed, list(options), say

    def folder(self, network: Network) -> Path:
        """Where it is trained."""
        return self.out / (network.name if self.seed == 0 else f'{network.name}-seed{self.seed}')

    def record(self, network: Network) -> dict | None:
        """Its record, if it has one.

        Raises:
            ValueError: If it is of another training than this one: the two would not be alike.
        """
        path = self.folder(network) / 'record.json'
        if not path.is_file():
            return None
        found = read_record(path)
        if network.slices and (other := self._another(network, found)):
            raise ValueError(
                f'{path} is of {other}. Remove its folder, and it is trained anew; or give another '
                '--out'
            )
        return found

    def _another(self, network: Network, record: dict) -> str:
        """What a record tells of another training; nothing where it tells none."""
        epochs = (network.epochs or self.epochs) if network.is_trained else 0
        if record.get('epochs', epochs) != epochs:
            return f'{record["epochs"]} epochs, not {epochs}'
        if record.get('options', self.options) != self.options:
            given = [' '.join(options) or 'none' for options in (record['options'], self.options)]
            return f'other --cfg-options: {given[0]}, not {given[1]}'
        if record.get('full', self.search.digest) != self.search.digest:
            return f'an earlier search: its full network is not {self.search.full}'
        if given := record.get('slice_of'):
            space = ElasticSpace.build(given['space'])
            if Slice(space, space.parse(given['arch'])) not in network.slices:
                return 'another network, of a front before this one'
        return ''

    def run(self, network: Network) -> dict:
        """Train a network, from its last checkpoint if there is one, test it, and write its record.

        Raises:
            ValueError: If another process has the folder, or the training fails.
        """
        folder = self.folder(network)
        hold_work_dir(folder)
        try:
            if (found := self.record(network)) is not None:
                return found
            record = self._run(network, folder)
            write_json(folder / 'record.json', record)
            return record
        finally:
            release_work_dir(folder)

    def _run(self, network: Network, folder: Path) -> dict:
        start, cpu = time.time(), cpu_seconds()
        one, ratings = self.choose(network, folder)
        from_full = network.kind in ('teacher', 'full', 'lower-size', OFF_THE_SHELF)
        checkpoint = self.search.full if from_full else self.search.checkpoint()
        config, arch = self.export(network, one, checkpoint, folder)
        epochs, resumed = network.epochs or self.epochs, (folder / 'train/last_checkpoint').exists()
        if network.is_trained:
            given = [f'max_epochs={epochs}', f'train_cfg.val_interval={epochs}']
            given += [f'randomness.seed={self.seed}', *self.options]
            run, log = folder / 'train', folder / 'train.log'
            tool('train', str(config), '--work-dir', run, '--resume',
                 '--cfg-options', *given, log=log)  # fmt: skip
            model = open_model(config_file(run), str(latest_checkpoint(run)))
            cfg = model.cfg
        else:
            given, epochs = [], 0
            model = open_model(str(config), str(self.search.full))
            with quiet(logging.WARNING):
                cfg = load_config(str(config))  # with the images that a training validates on
        said = answers(model, cfg)
        text = config.read_text().replace(str(folder.resolve()), '')
        return dict(
            format=FORMAT,
            name=network.name,
            kind=network.kind,
            share=network.share,
            seed=self.seed,
            epochs=epochs,
            settings=settings_hash(text, *given),
            options=self.options,
            full=self.search.digest,
            val_part=cfg.val_dataloader.dataset.get('part', 'all'),
            start='none' if network.kind == 'scratch' else checkpoint.name,
            **arch,
            full_macs_m=self.search.full_macs_m,
            rated_sizes=ratings,
            cpu_s=round(cpu_seconds() - cpu, 1),
            minutes=round((time.time() - start) / 60, 2),
            resumed=resumed,
            **said,
        )

    def choose(self, network: Network, folder: Path) -> tuple[Slice, dict[str, float] | None]:
        """Of several input sizes the one that the fine-tuned full network is best at.

        By cross entropy on the search's hold-out, with batch norm fitted at each size.
        """
        first, *others = network.slices
        if not others:
            return first, None
        sizes = [one.space.input_size(one.arch) for one in network.slices]
        every = [self.search.costs.input_size[0], *sizes]
        config = config_file(self.search.work_dir)
        options = dict(input_sizes=every, log_level='WARNING')  # what it chose is in the record
        place = str(self.search.full), str(folder / 'rate')
        with quiet(logging.WARNING), open_search(config, *place, options) as loop:
            space = loop.budget.cost_model.space
            flat = space.encode(space.full_path)[:-1]
            paths = [space.decode([*flat, i + 1]) for i in range(len(sizes))]
            ratings = loop.build_evaluator().rate_all(paths, lambda *_: None)
        losses = [rating.loss for rating in ratings]
        best = losses.index(min(losses))
        return network.slices[best], {str(s): round(loss, 4) for s, loss in zip(sizes, losses)}

    def export(
        self, network: Network, one: Slice, checkpoint: Path, folder: Path
    ) -> tuple[Path, dict[str, Any]]:
        """The config that trains it, and what the record says of its architecture."""
        search, about = self.search, self.search.about
        size, head = search.costs.input_size, (about['num_classes'], about['head_channels'])
        costs = build_cost_model(one.space, size, *head)
        arch, table = costs.network(one.arch)
        content = {**about, **arch_content(arch, table), **slice_content(costs, one.arch)}
        content.update(rating={}, choice=None)
        answer = folder / 'answer.json'
        write_json(answer, content)
        files = export_arch(
            str(answer), str(checkpoint), str(folder / 'export'), root=str(self.root), say=self.say
        )
        told = dict(
            arch=content['arch'], space=content['space'], slice_of=content['slice_of'],
            input_size=content['input_size'][0], macs_m=content['costs']['macs_m'],
            params_m=content['costs']['params_m'],
        )  # fmt: skip
        config = files['retrain']
        if network.kind in ('scratch', OFF_THE_SHELF):
            config = folder / 'retrain.py'
            text = SCRATCH if network.kind == 'scratch' else shelf_config(files['retrain'])
            write_whole(config, text.encode())
        if network.kind == OFF_THE_SHELF:
            told.update(count(config, content['input_size']), arch=None, space=None, slice_of=None)
        return config, told


SCRATCH = """# The same network from random weights.
_base_ = ['export/retrain.py']
load_from = None
model = dict(head=dict(init_cfg=None))
"""


def shelf_config(retrain: Path) -> str:
    """MobileNetV2 of an installed package in the place of the network, taught as it is."""
    cfg = read_config(str(retrain))[0]
    prep = cfg.model.data_preprocessor
    backbone = dict(type='cream_mm.MobileNetV2', mean=list(prep.mean), std=list(prep.std))
    head = dict(
        type='LinearClsHead',
        num_classes=cfg.num_classes,
        in_channels=1280,
        loss=cfg.model.head.loss.to_dict(),
    )
    return (
        '# MobileNetV2 off the shelf, with the ImageNet weights of a package.\n'
        "_base_ = ['export/retrain.py']\n"
        "custom_imports = dict(imports=['cream_mm'])\n"
        'load_from = None\n'
        f'model = dict(backbone=dict(_delete_=True, **{backbone!r}),\n'
        "    neck=dict(type='GlobalAveragePooling'),\n"
        f'    head=dict(_delete_=True, **{head!r}))\n'
    )


def count(config: Path, input_size: Sequence[int]) -> dict[str, float]:
    """``macs_m`` and ``params_m`` of a classifier that is no network of a space."""
    import torch
    from mmengine.registry import MODELS, init_default_scope

    from .count_model import count_model

    cfg = load_config(str(config), check_data=False)
    init_default_scope('mmpretrain')
    model = MODELS.build({k: v for k, v in cfg.model.items() if k != 'teacher'}).eval()
    image = torch.zeros(1, 3, *input_size)
    cost = count_model(model, lambda: model(image, mode='tensor')).in_units()
    return dict(macs_m=cost['macs_m'], params_m=cost['params_m'])


def cpu_seconds() -> float:
    """Of this process, and of all that it started and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
