"""NAO-V2: balanced one-shot training, and search by ascent in a latent space of architectures."""

from .controller import Controller
from .nao_search import NAOSearch
from .size_proportional_sampler import SizeProportionalSampler
from .tokens import Tokens

__all__ = ['Controller', 'NAOSearch', 'SizeProportionalSampler', 'Tokens']
