"""The meta matching network, and how it learns."""

from collections.abc import Sequence

import torch
import torch.nn as nn
from mmengine.dist import all_reduce_params, broadcast
from mmengine.model import BaseModel
from torch import Tensor
from torch.func import functional_call
from torch.optim import Optimizer

from ...models.layers.init import init_cream_weights
from ...models.losses import soft_cross_entropy
from ...registry import MODELS

STEM = 'backbone.conv_stem.weight'


@MODELS.register_module()
class MetaMatching(nn.Module):
    """Scores how well each board entry suits the current path as a teacher.

    One linear layer over the differences between the path's and the entry's probabilities.
    The best-scored entry teaches, at the rate ``sigmoid(score)``.

    Args:
        num_features (int): S images times the number of classes.
        rate (str): 'best' (default), or 'last' as in the released code: whichever entry
            teaches, the rate is ``sigmoid(-score)`` of the last one.

    Shapes:
        input: (K, num_features).

    Reference:
        Cream, meta matching network.
    """

    def __init__(self, num_features: int, rate: str = 'best'):
        super().__init__()
        self.rate = rate
        self.fc = nn.Linear(num_features, 1)
        init_cream_weights(self)

    def forward(self, features: Tensor) -> tuple[int, Tensor]:
        """Pick an entry.

        Returns:
            tuple[int, Tensor]: Index of the best entry, and the rate, a scalar in (0, 1).

        Raises:
            FloatingPointError: If a score is not finite: the training has diverged.
        """
        scores = self.fc(features).squeeze(1)  # (K,)
        if not torch.isfinite(scores).all():
            raise FloatingPointError(
                f'meta matching scores are not finite: {scores.tolist()}. The supernet has '
                'diverged; lower the learning rate or enlarge the batch'
            )
        index = scores.argmax()
        broadcast(index)  # ranks that round differently could part where two scores are close
        index = int(index)
        return index, (-scores[-1] if self.rate == 'last' else scores[index]).sigmoid()


def meta_gradient(
    model: BaseModel,
    train_inputs: Tensor,
    val_inputs: Tensor,
    val_samples: list,
    step_size: float | dict[str, float],
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Gradient of the held-out loss after one distillation step, for the matching network.

    With path weights w, distillation loss KD(w), rate m(theta) and step size xi, the virtual
    student is ``w' = w - xi * m(theta) * dKD/dw`` and the objective the task loss of w' on
    held-out images. Because theta enters through the scalar m alone,

        d loss / d theta  =  -xi * <d loss / d w', d KD / d w> * d m / d theta,

    exact with two first-order gradients: no second-order graph and no change of w. All
    parameters of the path and the head take part, or the stem's convolution alone
    (``compat.meta_gradient='stem'``). BN uses batch statistics throughout. Both gradients are
    averaged over the ranks, so that the result is that of all their images together.

    Args:
        model (Cream): With at least one path on its board; its current path is the student.
        train_inputs (Tensor): (n, 3, H, W), normalised images the student learns from.
        val_inputs (Tensor): (m, 3, H, W), held-out images.
        val_samples (list): Their data samples, with labels.
        step_size (float | dict[str, float]): xi, the learning rate of the path's weights, or of
            each by the parameter's name.

    Returns:
        tuple: (gradients in the order of ``model.matching.parameters()``, held-out loss).

    Reference:
        Cream, the meta objective of the matching network.
    """
    with torch.no_grad():
        features = model.matching_features()
    index, rate = model.matching(features)
    teacher_logits = model.teach(train_inputs, model.board.entries[index].arch)

    params = path_and_head(model)
    sizes = step_size if isinstance(step_size, dict) else dict.fromkeys(params, step_size)
    with model.auxiliary_norm():
        kd = soft_cross_entropy(teacher_logits, model(train_inputs))
        kd_grads = mean_over_ranks(torch.autograd.grad(kd, list(params.values())))
        virtual = {
            name: (param - sizes[name] * rate * grad).detach().requires_grad_()
            for (name, param), grad in zip(params.items(), kd_grads)
        }
        logits = functional_call(model, virtual, (val_inputs,))
        val_loss = model.head.loss_by_logits(logits, val_samples)
        val_grads = mean_over_ranks(torch.autograd.grad(val_loss, list(virtual.values())))

    slope = -sum(  # d val_loss / d rate
        sizes[name] * (v * g).sum()
        for name, v, g in zip(params, val_grads, kd_grads)
        if name == STEM or model.compat.meta_gradient == 'path'
    )
    grads = torch.autograd.grad(rate, list(model.matching.parameters()), slope.to(rate))
    return grads, val_loss.detach()


def real_meta_step(
    model: BaseModel,
    optimizer: Optimizer,
    train_inputs: Tensor,
    val_inputs: Tensor,
    val_samples: list,
    max_norm: float,
) -> Tensor:
    """The released code's meta step, which trains the student too.

    With J = m * KD, student weights w, matching weights theta and eta the learning rate of theta:

    1. g = dJ/dw; the optimizer steps w along g, clipped;
    2. v = d loss / dw on the held-out images, at the stepped weights;
    3. the optimizer steps theta along ``<v, d(w - eta g) / d theta>``, clipped.

    Both are steps of the whole optimizer. The inner product runs over the stem's convolution
    alone, or over all of w (``compat.meta_gradient='path'``).

    Args:
        model (Cream): As for :func:`meta_gradient`.
        optimizer (Optimizer): The main one, with the matching network in groups of its own.
        train_inputs, val_inputs, val_samples: As for :func:`meta_gradient`.
        max_norm (float): Gradient norms are clipped to this.

    Returns:
        Tensor: The held-out loss.

    Raises:
        ValueError: If the matching network has no learning rate of its own.
        FloatingPointError: If a gradient is not finite.

    Reference:
        Cream, released code. It steps the weights in place before it uses the graph that needs
        them, which current PyTorch refuses; here the graph is made on copies. Differs: the
        gradients are averaged over ranks.
    """
    eta = matching_lr(model, optimizer)
    params = path_and_head(model)
    theta = list(model.matching.parameters())
    copies = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    theta_copies = {
        f'matching.{name}': p.detach().clone().requires_grad_()
        for name, p in model.matching.named_parameters()
    }

    with model.auxiliary_norm():
        weights = {f'model.{name}': p for name, p in {**copies, **theta_copies}.items()}
        loss = functional_call(_MatchedDistillation(model), weights, (train_inputs,))
        grads = torch.autograd.grad(loss, list(copies.values()), create_graph=True)
        clipped_step(optimizer, list(params.values()), grads, max_norm, 'of the student')

        val_loss = model.head.loss_by_logits(model(val_inputs), val_samples)
        val_grads = mean_over_ranks(torch.autograd.grad(val_loss, list(params.values())))

    on = [name == STEM or model.compat.meta_gradient == 'path' for name in params]
    virtual = [w - eta * g for w, g, used in zip(copies.values(), grads, on) if used]
    val_grads = [v for v, used in zip(val_grads, on) if used]
    theta_grads = torch.autograd.grad(virtual, list(theta_copies.values()), val_grads)
    clipped_step(optimizer, theta, theta_grads, max_norm, 'of the matching network')
    return val_loss.detach()


class _MatchedDistillation(nn.Module):
    """J, as a module so that :func:`functional_call` can give it other weights."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        index, rate = self.model.matching(self.model.matching_features())
        teacher_logits = self.model.teach(inputs, self.model.board.entries[index].arch)
        return rate * soft_cross_entropy(teacher_logits, self.model(inputs))


def clipped_step(
    optimizer: Optimizer, params: list, grads: Sequence[Tensor], max_norm: float, about: str
) -> None:
    """One step with these gradients; other parameters have the gradients they had.

    Args:
        optimizer (Optimizer): Of ``params``, and maybe of others.
        params (list): The parameters to give the gradients to.
        grads (Sequence[Tensor]): One for each; they are averaged over the ranks.
        max_norm (float): Their norm is clipped to this.
        about (str): Whose gradient it is, for the error.

    Raises:
        FloatingPointError: If they are not finite; nothing is stepped with them.
    """
    for param, grad in zip(params, mean_over_ranks(grads)):  # replicas stay equal
        param.grad = grad
    if not torch.isfinite(nn.utils.clip_grad_norm_(params, max_norm)):
        raise FloatingPointError(
            f'the meta gradient {about} is not finite; nothing was stepped with it. Lower '
            'optim_wrapper.optimizer.lr or enlarge the batch'
        )
    optimizer.step()
    for param in params:
        param.grad = None


def mean_over_ranks(grads: Sequence[Tensor]) -> list[Tensor]:
    """Copies without a graph, averaged over the ranks in one message."""
    grads = [grad.detach().clone() for grad in grads]
    all_reduce_params(grads, op='mean')
    return grads


def path_and_head(model: BaseModel) -> dict[str, nn.Parameter]:
    """Trainable parameters that the current path and the head use, by their name in the model."""
    params = {f'backbone.{k}': p for k, p in model.backbone.path_parameters().items()}
    params.update({f'head.{k}': p for k, p in model.head.named_parameters()})
    return {name: param for name, param in params.items() if param.requires_grad}


def matching_lr(model: BaseModel, optimizer: Optimizer) -> float:
    """Learning rate of the matching network inside the main optimizer."""
    theta = {id(p) for p in model.matching.parameters()}
    rates = []
    for group in optimizer.param_groups:
        inside = [id(p) in theta for p in group['params']]
        if any(inside) and not all(inside):
            rates = []
            break
        if all(inside):
            rates.append(group['lr'])
    if not rates:
        raise ValueError(
            'compat.meta_step="real" steps the matching network with the main optimizer, where it '
            'has no learning rate of its own. Give it one: optim_wrapper.paramwise_cfg.custom_keys='
            "{'matching': dict(lr_mult=1e-4, decay_mult=0.0)}, as in "
            'configs/cream/search_imagenet_official.py'
        )
    return rates[-1]
