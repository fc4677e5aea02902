"""Slices of one network, trained together: after that network itself, and taught by it."""

from .elastic_train_loop import ElasticTrainLoop

__all__ = ['ElasticTrainLoop']
