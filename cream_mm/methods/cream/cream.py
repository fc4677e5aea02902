"""Cream: the best paths so far teach the path being trained."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from mmpretrain.models.classifiers import ImageClassifier
from torch import Tensor

from ...costs import Budget, CostModel
from ...costs.budget import BUDGET_KEYS
from ...engine.loops import SupernetTrainLoop
from ...models.layers.bn_policy import batch_stats
from ...models.losses import soft_cross_entropy
from ...ops import cpu_kernels
from ...registry import MODELS, argument_names
from ...structures import Arch
from .compat import Compat
from .meta_matching import MetaMatching
from .prioritized_board import PrioritizedBoard


class Match(NamedTuple):
    """The board entry that teaches, and how much."""

    teacher: Arch
    rate: Tensor  # scalar in (0, 1): weight of distillation against the labels


class TrainedPath(NamedTuple):
    """What one training step leaves behind for the board."""

    arch: Arch
    top1: Tensor  # scalar, percent, on this rank's batch
    images: Tensor  # (N, 3, H, W), normalised
    soft_targets: Tensor  # (N, num_classes)
    loss: Tensor  # scalar, classification loss in nats, without the share of distillation
    teacher_loss: Tensor | None = None  # the teacher's, on the same images and labels


@MODELS.register_module()
class Cream(ImageClassifier):
    """A classifier around a supernet, with path distillation from a prioritized board.

    The training loop sets the path; this class computes its loss. With an empty board, or
    ``board=None``, the loss is the plain classification loss (single-path training).

    Args:
        backbone (dict): A supernet.
        head (dict): A :class:`CreamClsHead`.
        input_size (int | Sequence[int]): Training images' height and width in pixels.
        budget (dict, optional): Bounds on the cost of paths, e.g. ``dict(macs_m=(200, 600))``;
            see :class:`Budget`. Obeyed by sampler, board and rating. Defaults to none.
        latency (dict, optional): Measured times of paths, as :func:`build_cost_model` takes them.
        board (dict, optional): Arguments of :class:`PrioritizedBoard`. None trains without one.
        matching (dict, optional): What picks the teacher: :class:`MetaMatching`, or for
            comparison :class:`RandomMatching` or :class:`NearestMatching`. None takes the best
            entry at rate 0.5.
        compat (str | dict): ``'fixed'`` (default), ``'official'``, ``'paper'``, or a mode with
            single options changed; see :class:`Compat`.
        side_precision (str): What the forwards that leave no graph, matching and teaching,
            compute in on a CPU: 'float32' (default), 'bfloat16', or 'auto', which is bfloat16
            where the processor has instructions for it. On a GPU they follow the run's ``--amp``.
        **kwargs: Further arguments of mmpretrain's ``ImageClassifier``.

    Attributes:
        trained_path (TrainedPath | None): What the last :meth:`loss` call trained.

    Reference:
        Cream of the Crop, section 3; specification, and what differs from the released code, in
        docs/cream.md.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        *,
        input_size: int | Sequence[int],
        budget: dict | None = None,
        latency: dict | None = None,
        board: dict | None = None,
        matching: dict | None = None,
        compat: str | dict | Compat = 'fixed',
        side_precision: str = 'float32',
        **kwargs: Any,
    ):
        if side_precision not in ('float32', 'bfloat16', 'auto'):
            raise ValueError(
                f"side_precision is 'float32', 'bfloat16' or 'auto'; got {side_precision!r}"
            )
        super().__init__(backbone=backbone, head=head, **kwargs)
        self.compat = Compat.build(compat)
        space, num_classes = self.backbone.space, self.head.num_classes
        self.costs = dict(
            input_size=input_size, num_classes=num_classes, head_channels=self.head.hidden_channels
        )
        if latency is not None:
            self.costs['latency'] = latency
        self.backbone.set_costs(self.costs, budget)
        # What sampler and board obey; the answer at the end obeys `budget`.
        enforced = self.compat.budget == 'enforced'
        self.path_budget = self.budget if enforced else Budget(self.cost_model)
        self.board = self.matching = None
        if board is not None:
            settings = dict(
                image_size=self.cost_model.input_size,
                num_classes=num_classes,
                admission=self.compat.admission,
                cost=self.compat.board_cost,
                ties=self.compat.ties,
                duplicates=self.compat.duplicates,
            )
            self.board = PrioritizedBoard(space, self.path_budget, **{**settings, **board})
            if matching is not None:
                num_features = self.board.num_images * num_classes
                self.matching = MODELS.build({'num_features': num_features, **matching})
                if isinstance(self.matching, MetaMatching):
                    self.matching.rate = self.compat.rate
        fast = side_precision == 'auto' and cpu_kernels.multiplies_bf16()
        self.auxiliary_bf16 = fast or side_precision == 'bfloat16'
        self.trained_path: TrainedPath | None = None

    @property
    def budget(self) -> Budget:
        """Bounds that the answer obeys; the supernet's."""
        return self.backbone.budget

    @property
    def cost_model(self) -> CostModel:
        """Counts a path; the supernet's."""
        return self.backbone.budget.cost_model

    # ---- what the loops and hooks of every search ask ----------------------------------------

    def prepare_search(self, loop: SupernetTrainLoop) -> None:
        """Let the training follow ``compat``: what it draws, and what it does to other paths."""
        if self.compat.budget == 'ignored':
            loop.sampler.budget = self.path_budget
        if self.compat.sampling == 'uniform':
            loop.sampler.op_prob = None
        if self.compat.unsampled == 'decayed':
            loop.zero_grad = 'zero'

    def path_to_validate(self) -> Arch:
        """The best path on the board, or the current one while the board is empty."""
        has_best = self.board is not None and len(self.board) > 0
        return self.board.entries[0].arch if has_best else self.backbone.arch

    def path_losses(self) -> dict[str, Tensor] | None:
        """What the last step says about its path; None if the step was left out.

        Returns:
            dict: ``loss``, the classification loss, and ``teacher_loss``, the teacher's on the same
            images, if it had one. Scalars, in nats, of this rank.
        """
        path = self.trained_path
        if path is None:
            return None
        losses = dict(loss=path.loss)
        return losses if path.teacher_loss is None else dict(losses, teacher_loss=path.teacher_loss)

    def forget_step(self) -> None:
        """The last step was left out: it trained no path."""
        self.trained_path = None

    def answer_details(self) -> dict:
        """What an answer's file says of the method, beside what every search has."""
        return dict(compat=self.compat.to_dict())

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(
            board=argument_names(PrioritizedBoard) - {'space', 'budget'},
            budget=set(BUDGET_KEYS),
            compat=argument_names(Compat),
            matching=argument_names(MetaMatching),
        )

    # ---- training ----------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Loss of the current path on one batch.

        ``(rate * distillation + (2 - rate) * classification) / 2``, or the plain
        classification loss while there is no teacher.

        Shapes:
            inputs: (N, 3, H, W), normalised.
        """
        match = self.pick_teacher()
        logits = self(inputs)  # (N, num_classes)
        loss_cls = self.head.loss_by_logits(logits, data_samples)
        targets, teacher_loss = logits, None
        if match is None:
            losses = dict(loss_cls=loss_cls)
        else:
            teacher_logits = self.teach(inputs, match.teacher)
            if self.compat.board_targets == 'teacher':
                targets = teacher_logits
            loss_kd = soft_cross_entropy(teacher_logits, logits)
            teacher_loss = self.head.loss_by_logits(teacher_logits, data_samples)
            losses = dict(
                loss_cls=(1 - match.rate / 2) * loss_cls,
                loss_kd=match.rate / 2 * loss_kd,
                matching_rate=match.rate.detach(),
            )
        labels = torch.cat([sample.gt_label for sample in data_samples])
        top1 = (logits.argmax(dim=1) == labels).float().mean() * 100
        dtype = torch.promote_types(targets.dtype, torch.float32)
        soft_targets = targets.detach().softmax(dim=1, dtype=dtype)
        self.trained_path = TrainedPath(
            self.backbone.arch,
            top1,
            inputs,
            soft_targets,
            loss_cls.detach(),
            teacher_loss,
        )
        return dict(losses, train_top1=top1)

    def pick_teacher(self) -> Match | None:
        """The board's teacher for the current path; None while the board is empty."""
        if self.board is None or len(self.board) == 0:
            return None
        if self.matching is None:
            rate = self.board.images.new_tensor(0.5)
            return Match(self.board.entries[0].arch, rate)
        index, rate = self.matching(self.matching_features())
        if self.compat.matching_grad == 'none':
            rate = rate.detach()  # it learns from its meta gradient only
        return Match(self.board.entries[index].arch, rate)

    def matching_features(self) -> Tensor:
        """How the current path differs from each entry on that entry's own images.

        Returns:
            Tensor: (K, S * num_classes), the path's probabilities less the stored ones,
            image-major. Without a graph, unless ``compat.matching_grad='kept'``.
        """
        length = len(self.board)
        images = self.board.images[:length]  # (K, S, 3, H, W)
        with_grad = torch.is_grad_enabled() and self.compat.matching_grad == 'kept'
        with (
            torch.set_grad_enabled(with_grad),
            self.auxiliary_norm(),
            self.auxiliary_autocast(images),
        ):
            if self.compat.matching_batch == 'joint':
                logits = self(images.flatten(0, 1))
            else:
                logits = torch.cat([self(entry) for entry in images])
            dtype = torch.promote_types(logits.dtype, torch.float32)
            probs = logits.softmax(dim=1, dtype=dtype)
            difference = probs.view_as(self.board.soft_targets[:length])
            difference = difference - self.board.soft_targets[:length]  # (K, S, num_classes)
            return difference.flatten(1)

    @torch.no_grad()
    def teach(self, inputs: Tensor, teacher: Arch) -> Tensor:
        """Logits of another path on the same images, without a trace in autograd.

        (N, 3, H, W) -> (N, num_classes)
        """
        with self.backbone.using(teacher), self.auxiliary_norm(), self.auxiliary_autocast(inputs):
            logits = self(inputs)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def auxiliary_norm(self) -> AbstractContextManager:
        """How BN treats forwards of the current path other than the student's own."""
        if self.compat.norm_stats == 'updated':
            return nullcontext()
        return batch_stats(self.backbone.path_modules())

    def auxiliary_autocast(self, images: Tensor) -> AbstractContextManager:
        """``side_precision``, where it applies to a forward of these images."""
        on_cpu = images.device.type == 'cpu' and images.dtype == torch.float32
        if self.auxiliary_bf16 and on_cpu and not torch.is_grad_enabled():
            return torch.autocast('cpu', torch.bfloat16)
        return nullcontext()
