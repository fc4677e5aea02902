"""``cream-mm NAME``: which commands there are, and how they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.command_words import own_command
from cream_mm.commands import main as console

ROOT = Path(console.__file__).parents[2]
# Without tools/ of their own; the others are tested as tools.
COMMANDS = ('configs', 'detect', 'retrain', 'search')
HEAVY = ('torch', 'mmengine', 'mmdet', 'mmpretrain', 'timm', 'matplotlib')
PROBE = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules]),
                              file=sys.stderr))
from cream_mm.commands.main import main
main()
"""


def test_every_tool_is_a_command():
    known = console.commands()
    tools = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    own = {'configs', 'detect', 'retrain', 'search_data'}
    assert set(known.values()) == tools | own
    assert known['search'] == 'search_data' and known['search-again'] == 'search'
    assert list(known)[:5] == ['demo', 'check', 'search', 'export', 'retrain']
    names = [line.split()[0] for line in console.overview().splitlines() if line[:2] == '  ']
    assert names == list(known)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_imports_nothing_heavy(name):
    command = [sys.executable, '-c', PROBE, name, '--help']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith(f'usage: cream-mm {name} ') and json.loads(done.stderr) == []
    assert f'cream-mm {name}' in done.stdout.split('usage:')[1]


def test_no_such_command(capsys):
    with pytest.raises(SystemExit) as end:
        console.run(['serch', '--x'])
    assert end.value.code == 2
    error = "error: no command 'serch'; did you mean 'search'? \"cream-mm\" lists them\n"
    assert capsys.readouterr().err == error


def test_exit_codes(monkeypatch, tmp_path):
    """That of check is 1 where there are errors; an error of ours is one line."""
    monkeypatch.setattr(sys, 'argv', ['cream-mm'])
    monkeypatch.setattr('cream_mm.commands.check_data.main', lambda argv: 1)
    with pytest.raises(SystemExit) as end:
        console.run(['check', 'x'])
    assert end.value.code == 1
    with pytest.raises(SystemExit, match='^error: no config file gone.py$'):
        console.run(['train', 'gone.py'])


def test_a_module_is_run_by_its_whole_name(tmp_path):
    """As a process that measures is, whatever lies in the current folder."""
    (tmp_path / 'types.py').write_text('raise SystemExit("the wrong one")')
    for name, code in (('cream_mm.version', 0), ('cream_mm.none', 1)):
        done = subprocess.run(own_command(name), capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code and 'no command' not in done.stderr
        assert ('No module named cream_mm.none' in done.stderr) is bool(code)
