"""DNA (CVPR 2020): every block of a supernet learns a teacher's maps, and is rated by itself."""

from .feature_teacher import FeatureTeacher

__all__ = ['FeatureTeacher']
