"""A classifier that learns from labels and from another classifier's answers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.models.heads import MultiLabelClsHead
from torch import Tensor, nn

from ...checkpoints import find_mismatch, load_weights
from ...checkpoints.load_weights import local_file, without_wrappers
from ...registry import MODELS
from ..layers.resize_images import resize_images

TEACHER_KEYS = ('backbone', 'neck', 'head', 'checkpoint')


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """mmpretrain's ``ImageClassifier``, taught by a frozen one as well.

    The loss is ``(1 - w) * head loss + w * T^2 * KL(teacher || student)``, where both see the batch
    as it was augmented, mixed images too. Without a teacher it is an ``ImageClassifier``, bit for
    bit. Outputs of several labels are compared label by label.

    The teacher is in eval mode and never trained. It is in no state dict, among no parameters, and
    in no copy of the model (``EMAHook``), so that what is saved loads into an ``ImageClassifier``.
    Its weights are read when a training begins; inference needs no file.

    Args:
        backbone, neck, head (dict): The student, as of an ``ImageClassifier``.
        teacher (dict, optional): ``backbone``, ``neck`` and ``head`` of the teacher, and
            ``checkpoint``, the file with its weights. It sees what the student's
            ``data_preprocessor`` gives. None: none, or :meth:`set_teacher` gives one later.
        distill_weight (float): w, 0 to 1. Defaults to 0.7.
        temperature (float): T, by which both outputs are divided. Defaults to 1.
        input_size (int, optional): Side of the images that the student trains on, in pixels, where
            the batch's are larger; the teacher sees the whole ones. At test time the images are
            what the pipeline makes them. None: the batch's.
        **kwargs: Others of an ``ImageClassifier``.

    Attributes:
        logits (Tensor | None): Of the last :meth:`loss`, (N, num_classes), without a graph.

    Raises:
        ValueError: If an argument is out of range, or ``teacher`` has other keys; by
            :meth:`init_weights` or :meth:`set_teacher`, if the file is of another network.
        FileNotFoundError: By these, if there is no such file.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (arXiv 1503.02531).
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        head: dict | None = None,
        *,
        teacher: dict | None = None,
        distill_weight: float = 0.7,
        temperature: float = 1.0,
        input_size: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(backbone, neck, head, **kwargs)
        if not 0 <= distill_weight <= 1:
            raise ValueError(f'distill_weight is a share, 0 to 1; got {distill_weight}')
        if not temperature > 0:
            raise ValueError(f'temperature is above 0; got {temperature}')
        if input_size is not None and input_size < 1:
            raise ValueError(f'input_size is a side in pixels; got {input_size}')
        self.distill_weight, self.temperature = distill_weight, temperature
        self.input_size = input_size
        self._teacher = _Unseen(None if teacher is None else _Teacher(teacher))
        self._taught: Tensor | None = None
        self._path_losses: dict[str, Tensor] | None = None
        self.logits: Tensor | None = None

    # ---- the teacher -----------------------------------------------------------------------------

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher's network, if there is one."""
        return None if self._teacher.it is None else self._teacher.it.network

    def set_teacher(self, teacher: Mapping | None) -> None:
        """Learn from another one from now on, or from none; its weights are read at once.

        Args:
            teacher (Mapping, optional): As the argument of the class.

        Raises:
            FileNotFoundError, ValueError: As the class.
        """
        it = None if teacher is None else _Teacher(teacher)
        if it is not None:
            it.load()
        self._teacher = _Unseen(it)

    def init_weights(self) -> None:
        """The student's weights, and those of the teacher out of its file."""
        super().init_weights()
        if self._teacher.it is not None:
            self._teacher.it.load()

    @contextmanager
    def taught_by(self, logits: Tensor | None) -> Iterator[None]:
        """For a moment, learn from these outputs, not the teacher's; None: from labels alone.

        Shapes:
            logits: (N, num_classes), of the batch that the loss is of.
        """
        before = self._teacher, self._taught
        self._teacher, self._taught = _Unseen(None), logits
        try:
            yield
        finally:
            self._teacher, self._taught = before

    # ---- training --------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of one batch; without a teacher, those of an ``ImageClassifier``.

        Shapes:
            inputs: (N, 3, H, W), normalised.

        Returns:
            dict: Without a teacher those of the head. Else ``loss_cls``, the head's, and
            ``loss_kd``, both weighted; what else the head tells is as it is.
        """
        images = inputs
        if self.input_size is not None and max(inputs.shape[-2:]) > self.input_size:
            images = resize_images(inputs, self.input_size)
        teacher = self._teacher.it
        taught = self._taught if teacher is None else teacher(inputs)
        with self._noted_logits() as noted:
            losses = super().loss(images, data_samples)
        logits = noted[-1]
        self.logits = logits.detach()
        if taught is None:
            self._path_losses = dict(loss=_total(losses))
            return losses
        weight = self.distill_weight
        weighted = {
            'loss_cls' if key == 'loss' else key: (1 - weight) * value if 'loss' in key else value
            for key, value in losses.items()
        }
        is_multi_label = isinstance(self.head, MultiLabelClsHead)
        divergence = kl_of_labels if is_multi_label else kl_divergence
        weighted['loss_kd'] = weight * divergence(taught, logits, self.temperature)
        with torch.no_grad():
            theirs = _total(self.head._get_loss(taught, data_samples))
        self._path_losses = dict(loss=_total(weighted), teacher_loss=theirs)
        return weighted

    def path_losses(self) -> dict[str, Tensor] | None:
        """What the last step says about its path, for ``PathLogHook``; None before the first.

        Returns:
            dict: ``loss``, that it was trained with, and ``teacher_loss``, the teacher's by the
            labels of the same images, which tells how hard they are. Scalars, in nats.
        """
        return self._path_losses

    def forget_step(self) -> None:
        """The last step was left out: it trained no path."""
        self._path_losses = None

    @contextmanager
    def _noted_logits(self) -> Iterator[list[Tensor]]:
        """What the head gives meanwhile, which its loss keeps to itself."""
        noted: list[Tensor] = []
        handle = self.head.register_forward_hook(lambda head, args, logits: noted.append(logits))
        try:
            yield noted
        finally:
            handle.remove()

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(teacher=set(TEACHER_KEYS))


def kl_divergence(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Batch mean of ``T^2 * KL(softmax(teacher / T) || softmax(student / T))``, in fp32 at least.

    The factor keeps the size of the gradients (Hinton et al., section 2).

    Shapes:
        both: (N, num_classes). Returns a scalar.
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    log_p = (teacher.to(dtype) / temperature).log_softmax(dim=1)
    log_q = (student.to(dtype) / temperature).log_softmax(dim=1)
    kl = F.kl_div(log_q, log_p, reduction='batchmean', log_target=True)
    return temperature**2 * kl


def kl_of_labels(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """As :func:`kl_divergence`, of labels that are there or not, each for itself: their sum.

    Shapes:
        both: (N, num_labels). Returns a scalar.
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    ours, theirs = student.to(dtype) / temperature, teacher.to(dtype) / temperature
    p = theirs.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(theirs, p, reduction='sum')
    cross = F.binary_cross_entropy_with_logits(ours, p, reduction='sum')
    return temperature**2 * (cross - entropy) / len(student)


def _total(losses: Mapping[str, Any]) -> Tensor:
    """What mmengine makes of a dictionary of losses: the sum of all that are named so."""
    return sum(value.detach().sum() for key, value in losses.items() if 'loss' in key)


class _Unseen:
    """Holds the teacher where no walk over modules finds it; copies of the model share it."""

    def __init__(self, it: '_Teacher | None'):
        self.it = it

    def __deepcopy__(self, memo: dict) -> '_Unseen':
        return self


class _Teacher:
    """A frozen classifier and where its weights are."""

    def __init__(self, cfg: Mapping):
        cfg = dict(cfg)
        unknown = sorted(set(cfg) - {*TEACHER_KEYS, 'type'})
        if unknown or not cfg.get('backbone') or not cfg.get('head') or not cfg.get('checkpoint'):
            raise ValueError(
                'teacher is dict(backbone=..., neck=..., head=..., checkpoint=FILE), neck is '
                f'optional; got {sorted(cfg)}'
            )
        self.checkpoint, self.is_loaded = str(cfg.pop('checkpoint')), False
        cfg['type'] = 'mmpretrain.ImageClassifier'
        with torch.random.fork_rng(devices=[]):  # the student's weights do not depend on it
            self.network = MODELS.build(cfg)
        self.network.requires_grad_(False).eval()

    def load(self) -> None:
        """Read the weights, once.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds another network's.
        """
        if self.is_loaded:
            return
        path = local_file(self.checkpoint)
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'no checkpoint of the teacher, {path}. A search writes full.pth into its '
                'work_dir, and an export lays it into its folder: put it there, or name it as '
                'model.teacher.checkpoint; model.teacher=None trains without a teacher'
            )
        own = self.network.state_dict()
        weights = without_wrappers(own, load_weights(path))
        if mismatch := find_mismatch(own, weights):
            raise ValueError(f'{path} does not hold the weights of model.teacher: {mismatch}')
        self.network.load_state_dict(weights, strict=False)
        self.is_loaded = True

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, H, W)."""
        self.load()
        weight = next(self.network.parameters())
        if (weight.device, weight.dtype) != (images.device, images.dtype):
            self.network.to(images)
        return self.network(images)
