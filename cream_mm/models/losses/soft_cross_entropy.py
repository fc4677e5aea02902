"""Distillation from soft targets."""

import torch
from torch import Tensor


def soft_cross_entropy(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Batch mean of ``-sum_c softmax(teacher)_c * log_softmax(student)_c``, in fp32 at least.

    Shapes:
        both: (N, num_classes). Returns a scalar.
    """
    dtype = torch.promote_types(student_logits.dtype, torch.float32)
    log_p = student_logits.log_softmax(dim=1, dtype=dtype)
    return -(teacher_logits.softmax(dim=1, dtype=dtype) * log_p).sum(dim=1).mean()
