"""What paths of a search were rated by, as people read it."""

from collections.abc import Mapping

from .formats import format_pct

METRIC_NAMES = {
    'cross_entropy': 'cross entropy', 'coco/bbox_mAP': 'box mAP', 'coco/bbox_mAP_50': 'box mAP50',
    'coco/bbox_mAP_75': 'box mAP75', 'relative_l1': 'relative L1',
}  # fmt: skip
# What a smaller number of is better, and what such a number is.
ERRORS = {'relative_l1': 'error against the teacher’s maps'}


def metric_name(key: str | None) -> str:
    """A metric as people write it: 'box mAP'; one that is not known stays as it is."""
    return METRIC_NAMES.get(key, str(key))


class Metric:
    """Top-1, or a metric of mmengine's.

    Args:
        key (str, optional): The metric's full name. None is top-1, for classifiers that were
            compared by cross entropy.

    Attributes:
        is_error (bool): Whether lower is better.

    Units:
        shown values: percent for top-1 and COCO's metrics, else those of the metric.
    """

    def __init__(self, key: str | None = None):
        self.key = key
        self.is_percent = key is None or key.startswith('coco/')
        self.is_error = key in ERRORS
        self.name = 'top-1' if key is None else metric_name(key)
        self.label = f'{self.name} (%)' if self.is_percent else self.name

    @classmethod
    def of(cls, rating: Mapping) -> 'Metric':
        """That of a rating as ``best_arch.json`` has it."""
        return cls(rating.get('metric'))

    def shown(self, rating: Mapping) -> float | None:
        """Number of a rating to show; None if it has none of this metric."""
        if self.key is None:
            return rating.get('top1_pct')
        value = rating.get('value')
        if value is None or rating.get('metric') != self.key:
            return None
        return 100 * value if self.is_percent else value

    def format(self, value: float) -> str:
        """A shown number with its unit."""
        return format_pct(value) if self.is_percent else f'{value:.4g}'

    def told(self, value: float) -> str:
        """A shown number with the name: '97.0 % top-1', 'relative L1 0.42'."""
        parts = [self.format(value), self.name]
        return ' '.join(parts[::-1] if self.is_error else parts)
