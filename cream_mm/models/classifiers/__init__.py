from .distilled_classifier import DistilledClassifier

__all__ = ['DistilledClassifier']
