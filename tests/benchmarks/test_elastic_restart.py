import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_kill(tmp_path):
    command = [sys.executable, str(ROOT / 'benchmarks/elastic_restart.py'), '--seed', '1']
    done = subprocess.run(
        [*command, '--folder', str(tmp_path)],
        env={**os.environ, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith('1 kills')
    assert 'equal to the whole run' in done.stdout
