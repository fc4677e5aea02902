"""NAO-V2: balanced one-shot training, and search by ascent in a latent space of architectures."""

from .alternating_loop import AlternatingLoop
from .archive_rating_loop import ArchiveRatingLoop
from .controller import Controller
from .nao_search import NAOSearch
from .size_proportional_sampler import SizeProportionalSampler
from .tokens import Tokens

__all__ = [
    'AlternatingLoop',
    'ArchiveRatingLoop',
    'Controller',
    'NAOSearch',
    'SizeProportionalSampler',
    'Tokens',
]
