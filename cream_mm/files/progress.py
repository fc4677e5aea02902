"""How far a long task is, and how long it will take."""

import time


class Progress:
    """Counts steps; the time left goes by those that took time.

    Args:
        total (int): Steps in all.
    """

    def __init__(self, total: int):
        self.total = total
        self.done = self.fresh = 0
        self._start = time.time()

    def step(self, known: bool = False) -> str:
        """Count one, and say ``[3/20]``; a ``known`` one took no time."""
        self.done += 1
        self.fresh += not known
        return f'[{self.done}/{self.total}]'

    @property
    def share(self) -> float:
        """How far it is, 0 to 1."""
        return self.done / max(self.total, 1)

    @property
    def eta(self) -> str:
        """``eta: 1:05``, minutes and seconds."""
        seconds = (time.time() - self._start) / max(self.fresh, 1) * (self.total - self.done)
        return f'eta: {int(seconds) // 60}:{int(seconds) % 60:02d}'
