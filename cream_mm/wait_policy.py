"""How long an idle OpenMP thread spins before it sleeps; decided before torch is imported."""

import os
import sys
from collections.abc import MutableMapping

# Rounds of libgomp's waiting loop, some 20 microseconds; its default of 300,000 is several
# milliseconds. A step has hundreds of parallel regions, and where another process runs on the
# cores, the thread that spins keeps from its core the very thread it waits for.
# docs/results/busy_cores.md has the figures.
SPINS = '1000'


def wait_briefly(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Let waiting threads of this process and its children sleep soon.

    ``OMP_WAIT_POLICY`` and ``GOMP_SPINCOUNT``, where the user has set one of them, stand.

    Args:
        environ (MutableMapping): Where the setting goes. Defaults to the process's own.

    Returns:
        bool: Whether it was set. It is too late once torch is imported, as libgomp reads it once.
    """
    given = 'OMP_WAIT_POLICY' in environ or 'GOMP_SPINCOUNT' in environ
    if given or 'torch' in sys.modules:
        return False
    environ['GOMP_SPINCOUNT'] = SPINS
    return True
