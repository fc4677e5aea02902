"""``cream-mm retrain``: of an export, and of a search that is exported first."""

import pytest

from cream_mm.commands import export_arch, retrain, train


def test_an_export_and_a_search(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    calls, exports = [], []
    monkeypatch.setattr(train, 'main', calls.append)

    def export(words):
        exports.append(words)
        (tmp_path / 'search/export').mkdir()
        (tmp_path / 'search/export/retrain.py').touch()

    monkeypatch.setattr(export_arch, 'main', export)
    (tmp_path / 'search').mkdir()
    with pytest.raises(FileNotFoundError, match='search is no export and no finished search: an'):
        retrain.main(['search'])
    (tmp_path / 'search/best_arch.json').touch()
    for _ in range(2):
        retrain.main(['search'])
    retrain.main(['search/export', '--work-dir', 'w', '--resume', '--minutes', '5',
                  '--cfg-options', 'lr=1'])  # fmt: skip
    assert exports == [['search', '--out', 'search/export']]
    config = 'search/export/retrain.py'
    assert calls == [
        *[[config, '--work-dir', 'search/export/retrain']] * 2,
        [config, '--work-dir', 'w', '--resume', '--cfg-options', 'lr=1', 'max_minutes=5'],
    ]
    with pytest.raises(FileNotFoundError, match='none is not there'):
        retrain.main(['none'])
