import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cream_mm.files import whole as whole_files
from cream_mm.testing import run_differences

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('what', ['append', 'write'])
def test_a_kill_cuts_what_was_being_written_only(tmp_path, what):
    """Lines from before are on the disk: no kill takes them away."""
    plan_kill = runpy.run_path(str(ROOT / 'benchmarks/kill_resume.py'))['plan_kill']
    whole_files.append_lines(tmp_path / 'log', ['on the disk'] * 3)
    whole_files.write_whole(tmp_path / 'file', b'old')
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()  # the kill is for the whole group
            plan_kill('half a file', 2)
            whole_files.append_lines(tmp_path / 'log', ['on the disk, too'])
            if what == 'append':
                whole_files.append_lines(tmp_path / 'log', ['abcd', 'efgh'])
            else:
                whole_files.write_whole(tmp_path / 'file', b'new content')
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    whole = 'on the disk\n' * 3 + 'on the disk, too\n'
    assert (tmp_path / 'log').read_text() == whole + ('abcd\n' if what == 'append' else '')
    assert (tmp_path / 'file').read_text() == 'old'
    if what == 'write':
        assert (tmp_path / 'file.tmp').read_bytes() == b'new c'


def test_a_log_of_paths_that_lacks_a_line_differs(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        meta = dict(epoch=1, iter=2, seed=3)
        torch.save(dict(state_dict={'w': torch.ones(1)}, meta=meta), tmp_path / name / 'x.pth')
        (tmp_path / name / 'path_log.jsonl').write_text('{"step": 0}\n{"step": 1}\n')
    assert run_differences(tmp_path / 'a', tmp_path / 'b', 'x.pth') == []
    (tmp_path / 'a/path_log.jsonl').write_text('{"step": 1}\n')
    found = ['path_log.jsonl: differs']
    assert run_differences(tmp_path / 'a', tmp_path / 'b', 'x.pth') == found


@pytest.mark.slow
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
