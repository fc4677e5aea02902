"""Distillation from soft targets."""

from torch import Tensor


def soft_cross_entropy(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Mean over the batch of ``-sum_c softmax(teacher)_c * log_softmax(student)_c``, in fp32.

    Shapes:
        both: (N, num_classes). Returns a scalar.
    """
    log_p = student_logits.float().log_softmax(dim=1)
    return -(teacher_logits.float().softmax(dim=1) * log_p).sum(dim=1).mean()
