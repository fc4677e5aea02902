"""Trains the meta matching network now and then."""

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS

from ...models.classifiers.meta_matching import meta_gradient
from ...registry import HOOKS
from ...search.path_sampler import named_rng
from ..loops.supernet_train_loop import unwrap


@HOOKS.register_module()
class MetaMatchingHook(Hook):
    """One meta step every ``interval`` iterations, once the board has a path.

    The student's virtual step sees the first images of the coming training batch, its loss is
    taken on held-out images, drawn anew for each step from (seed, step).

    Args:
        dataset (dict): The held-out images.
        interval (int): Iterations between meta steps. Defaults to 200.
        num_images (int): Images of each side. Defaults to 4.
        optimizer (dict, optional): For the matching network. Defaults to SGD with lr 1e-4 and
            momentum 0.9; its learning rate decays in step with the main one.
        max_norm (float): Gradient norm is clipped to this. Defaults to 1.0.

    Reference:
        Cream, released code: interval 200, 4 images, lr 1e-4, clip 1.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        dataset: dict,
        *,
        interval: int = 200,
        num_images: int = 4,
        optimizer: dict | None = None,
        max_norm: float = 1.0,
    ):
        self.dataset_cfg = dataset
        self.interval = interval
        self.num_images = num_images
        self.optimizer_cfg = optimizer or dict(type='SGD', lr=1e-4, momentum=0.9)
        self.max_norm = max_norm
        self._state = None

    def before_train(self, runner) -> None:
        model = unwrap(runner.model)
        if model.matching is None:
            raise ValueError('MetaMatchingHook needs a model with matching=dict(...)')
        self.dataset = DATASETS.build(self.dataset_cfg)
        self.optimizer = MMENGINE_OPTIMIZERS.build(
            dict(self.optimizer_cfg, params=list(model.matching.parameters()))
        )
        if self._state is not None:
            self.optimizer.load_state_dict(self._state)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        model = unwrap(runner.model)
        if runner.iter % self.interval or runner.iter == 0 or len(model.board) == 0:
            return
        train = {key: value[: self.num_images] for key, value in data_batch.items()}
        train = model.data_preprocessor(train, False)
        val = model.data_preprocessor(pseudo_collate(self._held_out(runner)), False)
        groups = runner.optim_wrapper.param_groups
        grads, val_loss = meta_gradient(
            model, train['inputs'], val['inputs'], val['data_samples'], groups[0]['lr']
        )
        params = list(model.matching.parameters())
        for param, grad in zip(params, grads):
            all_reduce(grad, op='mean')  # replicas stay equal
            param.grad = grad
        torch.nn.utils.clip_grad_norm_(params, self.max_norm)
        decay = groups[0]['lr'] / groups[0].get('initial_lr', groups[0]['lr'])
        for group in self.optimizer.param_groups:
            group['lr'] = self.optimizer_cfg['lr'] * decay
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        runner.message_hub.update_scalar('train/meta_val_loss', float(val_loss))

    def _held_out(self, runner) -> list:
        rng = named_rng('meta', runner.seed, runner.iter)
        size = len(self.dataset)
        picked = rng.choice(size, self.num_images, replace=size < self.num_images)
        return [self.dataset[int(i)] for i in picked]

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['meta_optimizer'] = self.optimizer.state_dict()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self._state = checkpoint.get('meta_optimizer')
