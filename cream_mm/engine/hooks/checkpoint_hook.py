"""mmengine's CheckpointHook for runs that are killed."""

import os.path as osp

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import Runner

from ...checkpoints.whole_file import make_plain
from ...files import write_whole
from ...registry import HOOKS
from ..holdout import META_KEY, holdout_of

VALIDATED = 'last_validated_epoch'
"""In the message hub. A name that begins with "val" is logged with a validation's metrics, as
``validated_epoch`` was, with the epoch before."""


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """mmengine's, with these differences:

    * The oldest checkpoint is deleted after the new one is on the disk, not before.
    * ``last_checkpoint`` is written whole or not at all.
    * A checkpoint holds plain values and tensors only.
    * A checkpoint is saved before the validation of its epoch. When a run is resumed, that
      validation is made up for, so that no log and no best checkpoint is missing.
    * It tells the number of processes, ``meta['world_size']``.
    * Paths of other checkpoints that a file names are not followed out of the folder.

    ``cream_mm.Runner`` puts it in the place of mmengine's. Arguments are the same.
    """

    def before_train(self, runner: Runner) -> None:
        hub = runner.message_hub
        ids = hub.get_info('keep_ckpt_ids', [])
        hub.update_info('keep_ckpt_ids', [i for i in ids if isinstance(i, int)])
        super().before_train(runner)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = list(self.keep_ckpt_ids)  # mmengine's drops the oldest by itself
        if runner._resume and runner.iter > 0:
            # What mmengine forgets: without it a new best is not noted in the last checkpoint.
            self.last_ckpt = hub.get_info('last_ckpt')
            self._keep_best_in_folder(hub)
            self._validate_if_due(runner)

    def _keep_best_in_folder(self, hub) -> None:
        """mmengine deletes the best checkpoint when a better one comes, whatever its path."""
        for key in [k for k in hub.runtime_info if k.startswith('best_ckpt')]:
            path = hub.get_info(key)
            hub.update_info(key, self._here(path) if isinstance(path, str) else None)
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = hub.get_info('best_ckpt')
        elif self.save_best is not None:
            for key in self.key_indicators:
                self.best_ckpt_path_dict[key] = hub.get_info(f'best_ckpt_{key}')

    def _here(self, path: str) -> str:
        return osp.join(self.out_dir, osp.basename(path))

    def _validate_if_due(self, runner) -> None:
        loop, val = runner.train_loop, runner.val_loop
        if not self.by_epoch or val is None or not hasattr(loop, '_decide_current_val_interval'):
            return
        loop._decide_current_val_interval()
        is_due = loop.epoch % loop.val_interval == 0 or loop.epoch == loop.max_epochs
        # With a new best, mmengine saves the checkpoint once more after the validation.
        hub = runner.message_hub
        is_done = hub.get_info(VALIDATED, hub.get_info('validated_epoch')) == loop.epoch
        if loop.epoch >= loop.val_begin and is_due and not is_done:
            # What the uninterrupted run says while it validates.
            runner.message_hub.update_info('epoch', loop.epoch - 1)
            runner.message_hub.update_info('iter', loop.iter - 1)
            val.run()

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        runner.message_hub.update_info(VALIDATED, runner.epoch)
        super().after_val_epoch(runner, metrics)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        share = holdout_of(runner.train_dataloader.dataset)
        if share is not None:
            checkpoint['meta'][META_KEY] = share
        checkpoint['meta']['world_size'] = runner.world_size
        make_plain(checkpoint)  # the last hook to see it: VERY_LOW

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            # Saved with the one that goes next: a kill before it is gone leaves it on the list.
            hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_whole(osp.join(runner.work_dir, 'last_checkpoint'), self.last_ckpt.encode())
        while 0 < self.max_keep_ckpts < len(getattr(self, 'keep_ckpt_ids', [])):
            oldest = self.filename_tmpl.format(self.keep_ckpt_ids.pop(0))
            path = self.file_backend.join_path(self.out_dir, oldest)
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)
            hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
