"""mmengine's Runner for runs that are killed, and for files that are not trusted."""

import copy
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, convert_sync_batchnorm, is_model_wrapper
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as _Runner
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_to_model
from mmengine.runner.runner import ConfigType
from torch import nn
from torch.utils.data import DataLoader

from ..checkpoints import find_mismatch, load_checkpoint_file
from ..checkpoints.load_weights import local_file, weights_of, without_wrappers
from ..checkpoints.resume_check import check_resumable
from ..checkpoints.whole_file import BACKEND, latest_checkpoint, load_whole, restore
from ..command_line import check_writable
from ..files import take_early_lines
from ..files.commands import note_command
from ..files.config_text import TextConfig
from ..models.backbones.pretrained import check_model
from ..models.backbones.published import published_nets
from ..models.backbones.published_weights import published_weights
from ..ops import keep_freed_memory
from ..registry import RUNNERS
from .distributed import (
    cpu_backend,
    cpu_wrapper,
    hidden_sync_norms,
    no_gpu,
    on_main_process,
    restart_store,
    unwrap,
    use_cpu_sync_norm,
)
from .holdout import check_holdout, holdout_of, keep_holdout
from .lone_image import leave_lone_image_out
from .resume_differences import check_classes, tell_differences
from .screen import put_on_screen, quiet_start, rest_to_file
from .short_warmup import shorten_warmup
from .work_dir_lock import hold_work_dir, release_work_dir

MMENGINES_HOOKS = (
    'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint',
)  # fmt: skip


@RUNNERS.register_module()
class Runner(_Runner):
    """mmengine's Runner, with these differences:

    * A resumed run ends like an uninterrupted one, bit by bit on a CPU: :class:`SeedHook` and
      our :class:`CheckpointHook` are there by default.
    * Checkpoints are written whole or not at all, with a checksum. A resume passes over damaged
      ones, with a warning.
    * Nothing in a checkpoint is executed, neither by resuming, nor by ``load_from``, nor by
      ``init_cfg=dict(type='Pretrained')`` once a Runner was built. Only plain values and tensors
      are restored.
    * A run that goes on keeps its held-out images: :func:`keep_holdout`.
    * ``load_from`` takes a checkpoint of the released Cream code too. One of another model is
      refused: in training, if nothing fits or a Cream backbone would not be loaded whole; in
      testing, if anything does not fit.
    * A resumed run says what its config does otherwise than that of the checkpoint, and is refused
      where weights, paths, classes or random numbers would mean something else.
    * A second process in the same ``work_dir`` is refused, until the first one's ``train``,
      ``val`` or ``test`` ends.
    * Distributed runs work on machines without a GPU, with the same commands and configs.
    * On a machine without a GPU, memory that a step frees is kept for the next one.
    * ``env_cfg.num_threads`` is how many threads PyTorch works with, unless ``OMP_NUM_THREADS`` is
      set. Small networks lose by more than one.
    * No step is taken on a single image that an epoch's last batch would be.
    * A warm-up counted in steps does not take most of a short training: :func:`shorten_warmup`.
    * Names from data that stand in the config, of classes or folders, stay names in its dumps.
    * The screen shows what tells a user something, the log file has everything (:mod:`.screen`);
      ``log_level='DEBUG'`` shows all. A run ends with its result: :class:`SummaryHook`.

    In a config: ``runner_type='cream_mm.Runner'``. Arguments are the same.
    """

    whole_weights = False  # load_from has to hold every tensor, as for val() and test()
    _building: ExitStack | None = None
    _known_whole: Path | None = None  # compared with its checksum a moment ago

    def __init__(self, *args: Any, **kwargs: Any):
        if kwargs.get('cfg') is not None:
            kwargs['cfg'] = TextConfig.of(kwargs['cfg'])
        CheckpointLoader.register_scheme(
            ['', 'http://', 'https://'], load_from_cream_mm, force=True
        )
        if not torch.cuda.is_available():
            keep_freed_memory()
        with ExitStack() as self._building:
            super().__init__(*args, **kwargs)
        self._building = None

    @classmethod
    def from_cfg(cls, cfg: ConfigType) -> 'Runner':
        cfg = copy.deepcopy(cfg)
        check_writable(cfg['work_dir'])  # mmengine makes the folder, and reads the data, first
        checkpoint = cfg.get('load_from')
        if cfg.get('resume') and checkpoint is None:
            checkpoint = latest_checkpoint(cfg.work_dir)
        keep_holdout(cfg, checkpoint)
        return super().from_cfg(cfg)

    def build_logger(
        self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any
    ) -> MMLogger:
        logger = super().build_logger(log_level, log_file, **kwargs)
        put_on_screen(logger, self._share_done)
        if self._building is not None:  # the rest of __init__
            self._building.enter_context(rest_to_file(logger))
        for level, line in take_early_lines():
            logger.log(level, line, extra=dict(file_only=True))
        return logger

    def _share_done(self) -> float:
        """How far the training is, 0 to 1."""
        return (self.iter + 1) / max(self.max_iters, 1)

    def setup_env(self, env_cfg: dict) -> None:
        if self.distributed and self.launcher == 'pytorch':
            env_cfg = restart_store(env_cfg)
        with quiet_start():
            if not self.distributed or torch.cuda.is_available():
                super().setup_env(env_cfg)
            else:
                with no_gpu():
                    super().setup_env(cpu_backend(env_cfg))
        threads = env_cfg.get('num_threads')
        if threads and 'OMP_NUM_THREADS' not in os.environ:
            torch.set_num_threads(threads)
        on_main_process(hold_work_dir, self.work_dir)  # nothing was written yet
        if is_main_process():
            note_command(self.work_dir, launcher=self.launcher)

    def train(self) -> nn.Module:
        with self._alone():
            return super().train()

    def val(self) -> dict:
        self.whole_weights = True  # numbers of a half-loaded model would look like an answer
        with self._alone():
            return super().val()

    def test(self) -> dict:
        self.whole_weights = True
        with self._alone():
            return super().test()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        on_main_process(hold_work_dir, self.work_dir)
        try:
            with rest_to_file(self.logger):
                yield
        finally:
            release_work_dir(self.work_dir)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if not self.distributed or torch.cuda.is_available() or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        unused = self.cfg.get('find_unused_parameters', False)
        sync_bn = self.cfg.get('sync_bn')
        if sync_bn == 'torch':  # once it is wrapped: torch's wrapper refuses it on a CPU
            self.cfg.sync_bn = None
        try:
            with hidden_sync_norms(model):
                wrapped = super().wrap_model(cpu_wrapper(model_wrapper_cfg, unused), model)
        finally:
            if sync_bn == 'torch':
                self.cfg.sync_bn = sync_bn
        if sync_bn == 'torch':
            convert_sync_batchnorm(unwrap(wrapped), sync_bn)
            use_cpu_sync_norm(wrapped)
        return wrapped

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        given = self._train_dataloader
        if isinstance(loop, dict) and isinstance(given, dict):  # as it would
            diff_rank_seed = self._randomness_cfg.get('diff_rank_seed', False)
            self._train_dataloader = self.build_dataloader(
                given, seed=self.seed, diff_rank_seed=diff_rank_seed
            )
        if isinstance(self._train_dataloader, DataLoader):  # the loop counts its batches
            leave_lone_image_out(self._train_dataloader, self.model)
        try:
            return super().build_train_loop(loop)
        finally:
            # scale_lr reads the batch size off the config: a loader has none where a batch sampler
            # of its own cuts the batches, as in every detector.
            self._train_dataloader = given

    def build_param_scheduler(self, scheduler: Any) -> Any:
        is_known = isinstance(self._train_loop, BaseLoop)  # which it is in train()
        return super().build_param_scheduler(
            shorten_warmup(scheduler, self.max_iters) if is_known else scheduler
        )

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        hooks = dict(hooks or {})
        hooks.setdefault('data_time', dict(type='cream_mm.DataTimeHook'))
        hooks.setdefault('seeds', dict(type='cream_mm.SeedHook'))
        hooks.setdefault('loop_state', dict(type='cream_mm.LoopStateHook'))
        hooks.setdefault('summary', dict(type='cream_mm.SummaryHook'))
        hooks.setdefault('errors', dict(type='cream_mm.ErrorsHook'))
        hooks.setdefault('train_loss', dict(type='cream_mm.TrainLossHook'))
        checkpoint = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))
        if isinstance(checkpoint, dict) and _is_mmengines(checkpoint.get('type')):
            hooks['checkpoint'] = dict(checkpoint, type='cream_mm.CheckpointHook')
        # None leaves one out; mmengine knows that of its own only.
        hooks = {k: v for k, v in hooks.items() if v or k in MMENGINES_HOOKS}
        super().register_default_hooks(hooks)

    def load_or_resume(self) -> None:
        """Load or resume; without a path, from the newest checkpoint that is whole.

        Raises:
            ValueError: If there are checkpoints to resume from, and all are damaged.
        """
        if self._resume and self._load_from is None and not self._has_loaded:
            path = on_main_process(latest_checkpoint, self.work_dir)
            if path is None:
                self.logger.info(f'No checkpoint in {self.work_dir}: starting from the beginning')
                return
            self._load_from, self._known_whole = str(path), path
        if self.whole_weights:
            self._resume = False  # the config that a resumed run wrote says so; weights will do
        super().load_or_resume()

    def load_checkpoint(
        self,
        filename: str | Path,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module\.', ''),),
    ) -> dict:
        """Load weights, or all state when resuming, without executing anything in the file.

        Args:
            filename (str): A file, or its http(s) address; or the name of a published network
                whose weights are installed, such as ``'lite0'``.
            map_location: Not used: what is loaded goes where the model and the optimizer are.
            strict (bool): Whether all keys must match.
            revise_keys (Sequence): (pattern, replacement) pairs for the keys of the state_dict.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, no checkpoint, of another model, or none that can be
                resumed.
        """
        if filename in published_nets and not self._resume:
            checkpoint = dict(state_dict=published_weights(filename))
        else:
            path = local_file(filename)
            load = load_checkpoint_file if path == self._known_whole else load_whole
            checkpoint = restore(load(path))
        if self._resume:
            try:
                self._compare(checkpoint['meta'])
                check_resumable(
                    checkpoint, unwrap(self.model), self.optim_wrapper, self.param_schedulers
                )
            except ValueError as error:
                raise ValueError(
                    f'{filename} cannot be resumed by this config: {error}; give it as load_from '
                    'to start from its weights'
                ) from None
        else:
            weights = weights_of(checkpoint, filename)
            for pattern, replacement in revise_keys:
                weights = {re.sub(pattern, replacement, k): v for k, v in weights.items()}
            checkpoint['state_dict'] = self._fit(weights, filename, checkpoint.get('meta'))
            if not self.whole_weights:
                # mmpretrain's EMAHook would begin with the weights behind the saved average.
                checkpoint.pop('ema_state_dict', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        _load_checkpoint_to_model(unwrap(self.model), checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _fit(self, weights: dict, filename: str | Path, meta: Any = None) -> dict:
        """Weights under the model's names; what an mmengine Runner only warns of is refused."""
        model = unwrap(self.model)
        model = model.module if isinstance(model, BaseTTAModel) else model
        weights = without_wrappers(own := model.state_dict(), weights)
        if not self.whole_weights:
            self.logger.info(check_model(model, weights, filename))
            # Whole again, with what is new: EMAHook loads it strictly into its copy.
            fits = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
            return {**own, **fits}
        if mismatch := find_mismatch(own, weights):
            about = self._other_classes(meta)
            raise ValueError(f'{filename} is not a checkpoint of this config{about}: {mismatch}')
        return weights

    def _other_classes(self, meta: Any) -> str:
        """In words, how many classes a checkpoint was trained on, if the config has others."""
        about = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
        classes = about.get('classes') if isinstance(about, Mapping) else None
        own = self.cfg.get('num_classes')
        if not isinstance(classes, (list, tuple)) or own is None or len(classes) == own:
            return ''
        return f', which has {own} classes, by its data; it was trained on {len(classes)}'

    def _compare(self, meta: dict) -> None:
        """Say what this run does otherwise than that of the checkpoint.

        Raises:
            ValueError: If it can only be neither that run nor another one.
        """
        seed, given = meta.get('seed'), self._randomness_cfg.get('seed')
        seed = seed if type(seed) is int else None
        if None not in (seed, given) and seed != given:
            raise ValueError(
                f'randomness.seed was {seed}, is {given}: images and paths would be drawn from both'
            )
        if seed is not None and seed != self.seed:
            self.logger.warning(
                f'resume: randomness.seed was {seed}, is not given and became {self.seed}: this '
                f'run will not end as that one would have. Give it randomness.seed={seed}'
            )
        ranks = meta.get('world_size', self.world_size)  # older checkpoints do not tell
        if type(ranks) is int and ranks != self.world_size:
            self.logger.warning(
                f'resume: the number of processes was {ranks}, is {self.world_size}: results '
                'change from here on'
            )
        dataset = self.train_dataloader.dataset
        check_classes(meta.get('dataset_meta'), getattr(dataset, 'metainfo', None))
        check_holdout(meta, holdout_of(dataset))
        tell_differences(meta.get('cfg'), self.cfg.pretty_text, self.logger)

    def save_checkpoint(
        self,
        out_dir: str | Path,
        filename: str | Path,
        file_client_args: dict | None = None,
        *args: Any,
        backend_args: dict | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the state of the run; a local file is there whole, or is not there.

        Raises:
            OSError: If it cannot be written. Earlier checkpoints are untouched.
        """
        if file_client_args is None and backend_args is None:
            is_local = isinstance(get_file_backend(str(out_dir)), LocalBackend)
            backend_args = dict(backend=BACKEND) if is_local else None
        try:
            super().save_checkpoint(
                out_dir, filename, file_client_args, *args, backend_args=backend_args, **kwargs
            )
        except OSError as error:
            raise OSError(
                error.errno,
                f'{error.strerror or error}. The run stops here; the checkpoints before are '
                'whole. Free some space, then continue with --resume',
            ) from error


def load_from_cream_mm(filename: str, map_location: Any = None) -> dict:
    """mmengine's loader for ``init_cfg=dict(type='Pretrained')``: nothing is executed."""
    return load_checkpoint_file(local_file(filename))


def _is_mmengines(kind: type | str | None) -> bool:
    """Whether ``type=`` means mmengine's CheckpointHook, by name, in full or as the class."""
    if isinstance(kind, str):
        return kind.split('.')[0] in ('CheckpointHook', 'mmengine')
    return kind is CheckpointHook
