"""Plain values that travel between the pieces. No torch here."""

from .arch import Arch

__all__ = ['Arch']
