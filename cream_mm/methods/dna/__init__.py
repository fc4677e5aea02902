"""DNA (CVPR 2020): every block of a supernet learns a teacher's maps, and is rated by itself."""

from .block_rating import BlockRating
from .block_rating_loop import BlockRatingLoop
from .dna import DNA
from .feature_teacher import FeatureTeacher

__all__ = ['DNA', 'BlockRating', 'BlockRatingLoop', 'FeatureTeacher']
