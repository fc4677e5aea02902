from .board_hook import BoardHook
from .meta_matching_hook import MetaMatchingHook

__all__ = ['BoardHook', 'MetaMatchingHook']
