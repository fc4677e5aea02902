"""Learning rate schedules of the published recipes."""

from .closed_form import CosinePhasesLR, WarmupCosineLR, WarmupStepLR
from .train_loss_plateau import TrainLossPlateauLR
from .two_cosines import TwoCosinesLR

__all__ = [
    'CosinePhasesLR',
    'TrainLossPlateauLR',
    'TwoCosinesLR',
    'WarmupCosineLR',
    'WarmupStepLR',
]
