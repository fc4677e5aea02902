"""Follows a supernet's progress during training."""

from collections.abc import Sequence

from mmengine.runner import ValLoop

from ...models.layers.bn_policy import batch_stats
from ...registry import LOOPS
from ..distributed import unwrap


@LOOPS.register_module()
class SupernetValLoop(ValLoop):
    """Validates the best path on the board, or the current one while the board is empty.

    BN uses the statistics of each validation batch: enough to follow progress, and cheap. The
    validation data must be shuffled for it, or a batch would hold a single class. The rating at
    the end of a search recalibrates BN instead.
    """

    def run(self) -> dict:
        self.model = unwrap(self.runner.model)
        has_best = self.model.board is not None and len(self.model.board) > 0
        backbone = self.model.backbone
        arch = self.model.board.entries[0].arch if has_best else backbone.arch
        with backbone.using(arch):
            return super().run()

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        with batch_stats(self.model.backbone.path_modules()):
            super().run_iter(idx, data_batch)
