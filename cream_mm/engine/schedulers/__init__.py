"""Learning rate schedules of the published recipes."""

from .closed_form import WarmupCosineLR, WarmupStepLR

__all__ = ['WarmupCosineLR', 'WarmupStepLR']
