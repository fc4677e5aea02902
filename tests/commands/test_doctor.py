"""The command: what it prints, for people and machines, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.checkup.installation import Finding
from cream_mm.commands import doctor
from cream_mm.environment import asks_doctor

ROOT = Path(__file__).parents[2]
OK, NOTE = Finding('ok', 'Python', '3.11'), Finding('note', 'home', 'there is none', 'set HOME')
WRONG = Finding('wrong', 'OpenCV', 'none', 'pip install opencv-python-headless')


def broken():
    raise OSError('torn metadata')


@pytest.fixture
def finds(monkeypatch):
    def set_to(*checks):
        monkeypatch.setattr(doctor, 'checks', lambda quick: list(checks))

    return set_to


def test_lines_and_status(finds, capsys):
    finds(lambda: [OK], lambda: [NOTE])
    doctor.main([])
    assert capsys.readouterr().out.splitlines() == [
        'ok     Python          3.11',
        'note   home            there is none',
        '                       mend: set HOME',
        'nothing wrong, 1 note',
    ]
    finds(broken, lambda: [WRONG])
    with pytest.raises(SystemExit) as ended:
        doctor.main([])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert 'a check failed: OSError: torn metadata' in out and out.endswith('1 wrong, 1 note\n')


def test_for_machines(finds, capsys):
    finds(lambda: [OK, WRONG])
    with pytest.raises(SystemExit):
        doctor.main(['--json'])
    assert json.loads(capsys.readouterr().out) == dict(
        format='cream_mm.doctor/1', ok=False, findings=[OK._asdict(), WRONG._asdict()]
    )


def test_it_runs_where_nothing_is_installed(tmp_path):
    """Without site-packages: neither numpy nor OpenMMLab, which cream_mm refuses to do without."""
    command = [sys.executable, '-S', str(ROOT / 'tools/doctor.py'), '--json']
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    content = json.loads(done.stdout)
    assert done.returncode == 1 and content['ok'] is False, done.stderr
    wrong = {one['topic']: one['text'] for one in content['findings'] if one['status'] == 'wrong'}
    assert wrong['OpenMMLab'] == 'none of mmengine, mmcv, mmdet and mmpretrain is installed'
    assert wrong['versions'].startswith('not installed: jinja2, matplotlib, numpy')
    other = subprocess.run([*command[:2], '-c', 'import cream_mm'], capture_output=True, text=True,
                           env=env, cwd=tmp_path)  # fmt: skip
    assert 'none of them is installed' in other.stderr  # as ever


def test_who_is_the_doctor():
    assert asks_doctor(['python', '/venv/bin/cream-mm', 'doctor', '--json'])
    assert asks_doctor(['python', '-m', 'cream_mm', 'doctor'])
    assert asks_doctor(['python', 'tools/doctor.py'])
    assert not asks_doctor(['python', '-m', 'pytest', 'tests'])
    assert not asks_doctor(['python', '/venv/bin/cream-mm', 'train', 'a.py', 'doctor'])
