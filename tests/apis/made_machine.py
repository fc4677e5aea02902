"""A runtime whose times are exact: what modules take adds up, and nothing has to wait."""

import contextlib

from torch import nn

from cream_mm.apis.time_networks import Timing

SESSION_MS = 0.25


def made_ms(module):
    """Odd enough a function of its convolutions and linear layers."""
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return SESSION_MS + sum(1e-2 + 1e-4 * layer.weight.numel() for layer in layers)


class MadeBackend:
    """In place of ``Backend``."""

    loads = 0
    slowness = 1.0
    clock = None

    def __init__(self, name, device='cpu', threads=1):
        self.name, self.device, self.threads = name, device, threads

    def load(self, module, shape):
        type(self).loads += 1

        def run():
            raise AssertionError('times are made, not taken')

        run.ms = made_ms(module) * type(self).slowness
        return run

    def machine(self):
        return dict(
            processor='Made', cores=2, threads=self.threads, device=self.device, backend=self.name,
            dtype='float32', versions={self.name: '1.0'}, system='none',
        )  # fmt: skip


def made_times(runs, reference, **kwargs):
    """In place of ``time_beside``."""
    return [Timing(run.ms / reference.ms, run.ms, reference.ms, 0) for run in runs]


@contextlib.contextmanager
def made_machine(monkeypatch):
    """All times are made."""
    import cream_mm.apis.check_latency as check
    import cream_mm.apis.latency_table as table
    import cream_mm.apis.time_found as found

    monkeypatch.setattr(MadeBackend, 'loads', 0)
    monkeypatch.setattr(MadeBackend, 'slowness', 1.0)
    monkeypatch.setattr(table, 'Backend', MadeBackend)
    monkeypatch.setattr(check, 'Backend', MadeBackend)
    monkeypatch.setattr(found, 'Backend', MadeBackend)
    monkeypatch.setattr(table, 'time_beside', made_times)
    monkeypatch.setattr(table, 'fit_norms', lambda module, shape: None)  # nothing is run
    yield MadeBackend
