"""Learning rate schedules of the published recipes."""

from .closed_form import CosinePhasesLR, WarmupCosineLR, WarmupStepLR
from .train_loss_plateau import TrainLossPlateauLR

__all__ = ['CosinePhasesLR', 'TrainLossPlateauLR', 'WarmupCosineLR', 'WarmupStepLR']
