"""Learning rate schedules of the published recipes."""

from .closed_form import WarmupCosineLR, WarmupStepLR
from .train_loss_plateau import TrainLossPlateauLR

__all__ = ['TrainLossPlateauLR', 'WarmupCosineLR', 'WarmupStepLR']
