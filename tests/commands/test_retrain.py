"""``cream-mm retrain``: of an export, and of a search that is exported first."""

import json

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


def test_an_export_of_an_earlier_answer_is_not_trained(monkeypatch, tmp_path, capsys):
    """The search was run again: the network beside it is another one by now."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'search/export').mkdir(parents=True)
    (tmp_path / 'search/export/retrain.py').touch()
    answer = dict(arch=[[0]], rating=dict(loss=1.0), seed=0)
    trained, exports = [], []
    monkeypatch.setattr(train, 'main', trained.append)
    monkeypatch.setattr(export_arch, 'main', exports.append)
    (tmp_path / 'search/best_arch.json').write_text(json.dumps(answer))
    for number, changed in enumerate([{}, dict(arch=[[1]]), dict(rating=dict(loss=2.0))]):
        text = json.dumps(dict(answer, input_size=[1, 1], **changed))
        (tmp_path / 'search/export/arch.json').write_text(text)
        retrain.main(['search'])
        assert len(exports) == number
    assert 'search/export is of an earlier answer of this search: exported anew' in (
        capsys.readouterr().out
    )
    retrain.main(['search', '--resume'])  # what was begun goes on
    assert len(exports) == 2 and len(trained) == 4
    assert 'goes on with search/export, which is of an earlier answer' in capsys.readouterr().out
