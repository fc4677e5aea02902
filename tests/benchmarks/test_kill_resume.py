import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_three_kills(tmp_path):
    command = [sys.executable, str(ROOT / 'benchmarks/kill_resume.py'), '3', '--seed', '2']
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [*command, '--workers', '1', '--folder', str(tmp_path)],
        env=env, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'all equal to the whole run' in done.stdout
    assert done.stdout.splitlines()[-1].startswith('3 kills (')
