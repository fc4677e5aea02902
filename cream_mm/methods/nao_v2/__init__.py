"""NAO-V2: balanced one-shot training, and search by ascent in a latent space of architectures."""

from .size_proportional_sampler import SizeProportionalSampler

__all__ = ['SizeProportionalSampler']
