"""The notebook of docs/ runs from a folder of photographs to a prediction."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / 'docs/notebooks/quick_start.ipynb'
# The search on digits: what counts there is that all runs without a set of photographs.
SMALLER = {'input_size=96': 'input_size=64', 'max_epochs=16': 'max_epochs=4', 'num=24': 'num=8'}


def outputs(notebook):
    """Text of what each cell of code printed or gave."""
    found = []
    for cell in notebook['cells']:
        if cell['cell_type'] == 'code':
            texts = [
                o.get('text') or o.get('data', {}).get('text/plain', '') for o in cell['outputs']
            ]
            found.append(''.join(''.join(text) for text in texts))
    return found


def test_it_is_kept_as_it_ran():
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    assert [cell['execution_count'] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell['outputs'] if o['output_type'] == 'error']
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('data', ['clothing', 'digits'])
def test_it_runs(tmp_path, monkeypatch, data):
    for name in ('nbformat', 'nbclient', 'ipykernel'):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[test]'")
    import nbclient
    import nbformat

    photos = ROOT / 'data/clothing'
    if data == 'clothing':
        if not photos.is_dir():
            pytest.skip('data/clothing is not here')
        (tmp_path / 'data').mkdir()
        (tmp_path / 'data/clothing').symlink_to(photos.resolve())
    command = tmp_path / 'bin/cream-mm'
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m cream_mm "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv('PATH', f'{command.parent}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if data == 'digits':
        (cell,) = [c for c in notebook.cells if c.source.startswith('!cream-mm search ')]
        for word, small in SMALLER.items():
            assert word in cell.source
            cell.source = cell.source.replace(word, small)
    nbclient.NotebookClient(
        notebook, timeout=1200, resources={'metadata': {'path': str(tmp_path)}}
    ).execute()
    # A command that fails does not stop a notebook.
    *_, files, predicted, maps = outputs(notebook)
    assert "'arch.json'" in files and "'retrain.py'" in files and "'weights.pth'" in files
    assert len([line for line in predicted.splitlines() if ' %  ' in line]) == 5
    assert re.fullmatch(r'\[(\(1, \d+, \d+, \d+\)(, )?){4}\]', maps.splitlines()[-1])
    front = json.loads((tmp_path / 'run/front.json').read_text())
    top1 = front['answer']['rating']['top1_pct']
    assert front['steps'] and (top1 > 10 or data == 'digits')  # of ten classes
