"""Trains the meta matching network now and then."""

from time import perf_counter

from mmengine.dataset import pseudo_collate
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.registry import DATASETS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.runner import Runner

from ...checkpoints.resume_check import check_optimizer
from ...engine.distributed import unwrap
from ...engine.stage import Stage
from ...registry import HOOKS
from ...structures.randomness import named_rng
from .board_hook import BoardHook
from .meta_matching import clipped_step, matching_lr, meta_gradient, real_meta_step

TIMED = 2  # meta steps of a dry run, after one that is not counted


@HOOKS.register_module()
class MetaMatchingHook(Hook):
    """One meta step every ``interval`` iterations, once the board has a path.

    The student's step sees the first images of the coming training batch, its loss is taken on
    held-out images, drawn anew for each meta step from (seed, step). With
    ``compat.meta_images='batch'`` they are the next images of the same batch.

    Args:
        dataset (dict, optional): The held-out images.
        interval (int): Iterations between meta steps. Defaults to 200.
        num_images (int): Images of each side, on each rank. Defaults to 4.
        optimizer (dict, optional): For the matching network. Defaults to SGD with lr 1e-4 and
            momentum 0.9; its learning rate decays in step with the main one. Not used with
            ``compat.meta_step='real'``, where the main optimizer serves.
        max_norm (float): Gradient norms are clipped to this. Defaults to 1.0.

    Raises:
        ValueError: If ``interval`` is below 1, the model has no matching network, or there are no
            images to hold out.
        FloatingPointError: If the meta gradient is not finite: the training has diverged.

    Reference:
        Cream, released code: interval 200, 4 images, lr 1e-4, clip 1.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        dataset: dict | None = None,
        *,
        interval: int = 200,
        num_images: int = 4,
        optimizer: dict | None = None,
        max_norm: float = 1.0,
    ):
        if interval < 1:
            raise ValueError(f'MetaMatchingHook needs interval >= 1; got {interval}')
        self.dataset_cfg = dataset
        self.interval = interval
        self.num_images = num_images
        self.optimizer_cfg = optimizer or dict(type='SGD', lr=1e-4, momentum=0.9)
        self.max_norm = max_norm
        self.optimizer = None
        self._state = None

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if model.matching is None:
            raise ValueError('MetaMatchingHook needs a model with matching=dict(...)')
        if model.compat.meta_images == 'batch':
            if runner.train_dataloader.batch_size < 2 * self.num_images:
                raise ValueError(
                    f'compat.meta_images="batch" takes {2 * self.num_images} images of a training '
                    f'batch, which has {runner.train_dataloader.batch_size}; enlarge batch_size'
                )
        elif self.dataset_cfg is None:
            raise ValueError('MetaMatchingHook needs dataset=dict(...), the held-out images')
        else:
            self.dataset = DATASETS.build(self.dataset_cfg)
        if model.compat.meta_step == 'real':
            matching_lr(model, runner.optim_wrapper.optimizer)  # now, not when the board has opened
        else:
            self.optimizer = MMENGINE_OPTIMIZERS.build(
                dict(self.optimizer_cfg, params=list(model.matching.parameters()))
            )
            if self._state is not None:
                check_optimizer(self._state, self.optimizer, 'meta_optimizer')
                self.optimizer.load_state_dict(self._state)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        model = unwrap(runner.model)
        count = batch_idx if model.compat.meta_count == 'epoch' else runner.iter
        if count % self.interval or count == 0 or len(model.board) == 0:
            return
        images = self._images(runner, model, data_batch)
        if images is not None:
            self._meta_step(runner, model, *images)

    def _meta_step(self, runner, model, train: dict, val: dict) -> None:
        args = train['inputs'], val['inputs'], val['data_samples']
        if model.compat.meta_step == 'real':
            optimizer = runner.optim_wrapper.optimizer
            val_loss = real_meta_step(model, optimizer, *args, max_norm=self.max_norm)
            runner.optim_wrapper.zero_grad()
        else:
            val_loss = self._virtual_step(runner, model, *args)
        runner.message_hub.update_scalar('train/meta_val_loss', float(val_loss))

    def own_stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: the meta steps, from where the board opens."""
        model, dataset = unwrap(runner.model), runner.train_dataloader.dataset
        if not len(model.board):
            return []
        opens = max([0.0, *(h.warmup for h in runner.hooks if isinstance(h, BoardHook))])
        batch = pseudo_collate([dataset[i % len(dataset)] for i in range(2 * self.num_images)])
        seconds = []
        for _ in range(1 + TIMED):
            start = perf_counter()
            self._meta_step(runner, model, *self._images(runner, model, batch))
            seconds.append(perf_counter() - start)
        number = (1 - opens) * runner.max_iters / self.interval
        each = sum(seconds[1:]) / TIMED
        return [Stage('matching network', 'steps', number, each, grows=True)]

    def _virtual_step(self, runner, model, *args):
        groups = runner.optim_wrapper.param_groups
        main, rates = groups[0], {id(p): group['lr'] for group in groups for p in group['params']}
        step_sizes = {name: rates.get(id(p), 0.0) for name, p in model.named_parameters()}
        grads, val_loss = meta_gradient(model, *args, step_size=step_sizes)
        decay = main['lr'] / main.get('initial_lr', main['lr'])
        for group in self.optimizer.param_groups:
            group['lr'] = self.optimizer_cfg['lr'] * decay
        about = f'of step {runner.iter + 1} (held-out loss {float(val_loss):.3g})'
        params = list(model.matching.parameters())
        clipped_step(self.optimizer, params, grads, self.max_norm, about)
        return val_loss

    def _images(self, runner, model, batch) -> tuple[dict, dict] | None:
        """Images of both sides, preprocessed; None if the batch is too small for both.

        The batch is left as it is: mmpretrain's preprocessor moves labels to the device in the
        samples themselves, and then refuses a batch of which some were moved.
        """
        n = self.num_images
        train = dict(inputs=batch['inputs'][:n])  # it needs no labels
        if model.compat.meta_images == 'batch':
            samples = [sample.clone() for sample in batch['data_samples'][n : 2 * n]]
            val = dict(inputs=batch['inputs'][n : 2 * n], data_samples=samples)
            if len(val['inputs']) < n:
                return None
        else:
            val = pseudo_collate(self._held_out(runner))
        return model.data_preprocessor(train, False), model.data_preprocessor(val, False)

    def _held_out(self, runner) -> list:
        """This rank's share of what is drawn for all."""
        rng = named_rng('meta', runner.seed, runner.iter)
        rank, world_size = get_dist_info()
        size, number = len(self.dataset), self.num_images * world_size
        picked = rng.choice(size, number, replace=size < number)
        return [self.dataset[int(i)] for i in picked[rank::world_size]]

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self.optimizer is not None:
            checkpoint['meta_optimizer'] = self.optimizer.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._state = checkpoint.get('meta_optimizer')
