"""DNA: every block of the supernet learns to give a teacher's feature map, each on its own."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ...costs import Budget
from ...engine.loops import SupernetTrainLoop
from ...registry import MODELS, argument_names
from .feature_teacher import FeatureTeacher


@MODELS.register_module()
class DNA(BaseModel):
    """Block-wise distillation: one pass of the teacher, one path through each cell, no labels.

    Block i takes the teacher's map before it and is trained to give the teacher's map behind it.
    No whole path is run, and blocks share no parameters: their losses stand in one sum, but each
    trains as if alone, at a rate of its own (``optim_wrapper.paramwise_cfg.rates``).

    Args:
        teacher (dict): A :class:`FeatureTeacher` with one map per block.
        backbone (dict): A :class:`BlockSupernet`; ``teacher_channels`` are those of the teacher.
        blocks (Sequence[int], optional): Train and rate only these, counted from 1, as on one of
            several machines. Defaults to all.
        late_bn_momentum (float, optional): Of the norms of all blocks but the first, in place of
            that of ``norm_cfg``. 1.0 is what the released code trains them with, as its first
            rating leaves it so. It moves running statistics alone, which no rating reads.
        data_preprocessor (dict, optional): Normalises the images, for teacher and student alike:
            as the teacher's weights want it. Defaults to mmpretrain's, without any.

    Raises:
        ValueError: If the teacher's maps do not lie where the blocks end.

    Reference:
        DNA (Li et al., CVPR 2020), equation 5. What differs from the released code: docs/dna.md.
    """

    def __init__(
        self,
        teacher: dict,
        backbone: dict,
        *,
        blocks: Sequence[int] | None = None,
        late_bn_momentum: float | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        data_preprocessor = {'type': 'mmpretrain.ClsDataPreprocessor', **(data_preprocessor or {})}
        super().__init__(data_preprocessor, init_cfg)
        self.teacher: FeatureTeacher = MODELS.build({'type': 'cream_mm.FeatureTeacher', **teacher})
        self.backbone = MODELS.build({'teacher_channels': self.teacher.channels, **backbone})
        self._check_maps()
        numbers = range(1, self.backbone.space.num_blocks + 1)
        self.blocks = tuple(sorted(set(numbers if blocks is None else blocks)))
        if not self.blocks or not set(self.blocks) <= set(numbers):
            raise ValueError(f'blocks are some of {list(numbers)}; got {blocks}')
        if late_bn_momentum is not None:
            for module in self.backbone.blocks[1:].modules():
                if isinstance(module, _BatchNorm):
                    module.momentum = late_bn_momentum

    def _check_maps(self) -> None:
        space = self.backbone.space.skeleton
        ours = space.stage_strides[1 : space.num_stages + 1]
        if self.teacher.strides != ours:
            raise ValueError(
                f'the teacher has maps of strides {self.teacher.strides}; the blocks end at '
                f'{ours}. Name one tap of the teacher for each block (model.teacher.taps), or '
                'change strides and stem_stride of model.backbone.space'
            )
        if self.teacher.channels != self.backbone.teacher_channels:
            raise ValueError(
                f'teacher_channels are {self.backbone.teacher_channels}, but the maps of the '
                f'teacher have {self.teacher.channels}'
            )

    # ---- what the loops of every search ask --------------------------------------------------

    def prepare_search(self, loop: SupernetTrainLoop) -> None:
        """Every operation is trained, whatever it costs; and nothing learns from noise.

        Raises:
            ValueError: If the teacher has no weights.
        """
        self.teacher.check_loaded()
        loop.sampler.budget = Budget(self.backbone.budget.cost_model)

    def answer_details(self) -> dict:
        """What an answer's file says of the method, beside what every search has."""
        return dict(dna=dict(align=self.backbone.align, teacher_mode=self.teacher.mode))

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(teacher=argument_names(FeatureTeacher))

    # ---- training ----------------------------------------------------------------------------

    def forward(
        self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | tuple[Tensor, ...]:
        """The losses, or with ``mode='tensor'`` the last block's map.

        Raises:
            ValueError: If it is asked for a prediction: it has no classifier.
        """
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'tensor':
            return self.backbone(inputs)
        raise ValueError('a block-wise supernet predicts nothing: export its answer and train it')

    def loss(self, inputs: Tensor, data_samples: list | None = None) -> dict[str, Tensor]:
        """The loss of each block on one batch.

        Shapes:
            inputs: (N, 3, H, W), normalised.

        Returns:
            dict: ``loss_block1``, ...: mean squared error of a block's map, summed over its cells.
        """
        targets = self.teacher(inputs)
        losses = {}
        for block in (number - 1 for number in self.blocks):
            before = targets[block - 1] if block else self.backbone.stem(inputs)
            losses[f'loss_block{block + 1}'] = sum(
                block_loss(self.backbone.forward_cell(block, cell, before), targets[block])
                for cell in range(len(self.backbone.space.cells[block]))
            )
        return losses


def block_loss(given: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of two maps (N, C, H, W).

    Raises:
        ValueError: If they have different shapes.

    Reference:
        DNA, equation 5.
    """
    if given.shape != target.shape:
        raise ValueError(
            f'a block gives {tuple(given.shape)} where the teacher has {tuple(target.shape)}: the '
            'teacher rounds the size of an odd map in another way. Take an image size that all '
            'strides divide'
        )
    return F.mse_loss(given, target)
