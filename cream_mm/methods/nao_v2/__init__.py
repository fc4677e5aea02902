"""NAO-V2 (arXiv 1909.10815): balanced one-shot training, and search in a latent space."""

from .controller import Controller
from .nao_search import NAOSearch
from .tokens import Tokens

__all__ = ['Controller', 'NAOSearch', 'Tokens']
