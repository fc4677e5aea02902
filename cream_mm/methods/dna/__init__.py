"""DNA (CVPR 2020): every block of a supernet learns a teacher's maps, and is rated by itself."""

from .block_rating import BlockRating
from .dna import DNA
from .feature_teacher import FeatureTeacher

__all__ = ['DNA', 'BlockRating', 'FeatureTeacher']
