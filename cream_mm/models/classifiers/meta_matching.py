"""The meta matching network, and the gradient it learns from."""

import torch
import torch.nn as nn
from torch import Tensor
from torch.func import functional_call

from ...evaluation.bn_policy import batch_stats
from ...registry import MODELS
from ..layers.init import init_cream_weights
from ..losses import soft_cross_entropy


@MODELS.register_module()
class MetaMatching(nn.Module):
    """Scores how well each board entry suits the current path as a teacher.

    One linear layer over the differences between the path's and the entry's probabilities.
    The best-scored entry teaches, at the rate ``sigmoid(score)``.

    Args:
        num_features (int): S images times the number of classes.

    Shapes:
        input: (K, num_features).

    Reference:
        Cream, meta matching network. Differs from the released code: the rate comes from the
        entry that was picked, not from the last one, and grows with its score.
    """

    def __init__(self, num_features: int):
        super().__init__()
        self.fc = nn.Linear(num_features, 1)
        init_cream_weights(self)

    def forward(self, features: Tensor) -> tuple[int, Tensor]:
        """Pick an entry.

        Returns:
            tuple[int, Tensor]: Index of the best entry, and its rate, a scalar in (0, 1).

        Raises:
            FloatingPointError: If a score is not finite: the training has diverged.
        """
        scores = self.fc(features).squeeze(1)  # (K,)
        if not torch.isfinite(scores).all():
            raise FloatingPointError(
                f'meta matching scores are not finite: {scores.tolist()}. The supernet has '
                'diverged; lower the learning rate or enlarge the batch'
            )
        index = int(scores.argmax())
        return index, scores[index].sigmoid()


def meta_gradient(
    model, train_inputs: Tensor, val_inputs: Tensor, val_samples: list, step_size: float
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Gradient of the held-out loss after one distillation step, for the matching network.

    With path weights w, distillation loss KD(w), rate m(theta) and step size xi, the virtual
    student is ``w' = w - xi * m(theta) * dKD/dw`` and the objective the task loss of w' on
    held-out images. Because theta enters through the scalar m alone,

        d loss / d theta  =  -xi * <d loss / d w', d KD / d w> * d m / d theta,

    exact with two first-order gradients: no second-order graph and no change of w. All
    parameters of the path and the head take part. BN uses batch statistics throughout and its
    running statistics stay as they are.

    Args:
        model (Cream): With at least one path on its board; its current path is the student.
        train_inputs (Tensor): (n, 3, H, W), normalised images the student learns from.
        val_inputs (Tensor): (m, 3, H, W), held-out images.
        val_samples (list): Their data samples, with labels.
        step_size (float): xi, the learning rate of the path's weights.

    Returns:
        tuple: (gradients in the order of ``model.matching.parameters()``, held-out loss).

    Reference:
        Cream, the meta objective of the matching network.
        Differs from the released code: every path parameter instead of the stem alone, held-out
        images instead of the training batch, no real step of w.
    """
    index, rate = model.matching(model.matching_features())
    teacher_logits = model.teach(train_inputs, model.board.entries[index].arch)

    params = {f'backbone.{k}': p for k, p in model.backbone.path_parameters().items()}
    params.update({f'head.{k}': p for k, p in model.head.named_parameters()})
    params = {name: param for name, param in params.items() if param.requires_grad}
    with batch_stats(model.backbone.path_modules()):
        kd = soft_cross_entropy(teacher_logits, model(train_inputs))
        kd_grads = torch.autograd.grad(kd, list(params.values()))
        virtual = {
            name: (param - step_size * rate * grad).detach().requires_grad_()
            for (name, param), grad in zip(params.items(), kd_grads)
        }
        logits = functional_call(model, virtual, (val_inputs,))
        val_loss = model.head.loss_by_logits(logits, val_samples)
        val_grads = torch.autograd.grad(val_loss, list(virtual.values()))

    overlap = sum((v * g).sum() for v, g in zip(val_grads, kd_grads))
    slope = -step_size * overlap  # d val_loss / d rate
    grads = torch.autograd.grad(rate, list(model.matching.parameters()), slope.to(rate))
    return grads, val_loss.detach()
