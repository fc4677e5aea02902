"""``cream-mm detect``: a config is written into the work directory, and trained."""

from pathlib import Path

import pytest

from cream_mm.commands import detect, train


def test_the_config_is_written_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'boxes').mkdir()
    Path('boxes/annotations.csv').write_text('image,xmin,ymin,xmax,ymax,class\na.jpg,1,2,30,40,x\n')
    calls, written = [], []
    monkeypatch.setattr(train, 'main', calls.append)

    def write(network, path):
        written.append((network, path))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()

    monkeypatch.setattr('cream_mm.apis.light_detector.write_detector', write)
    args = ['net', '--data', 'boxes', '--work-dir', 'w', '--minutes', '30']
    detect.main(args)
    detect.main([*args, '--resume', '--cfg-options', 'scale=[96,96]'])
    assert written == [('net', 'w/config/detector.py')]
    assert calls == [
        ['w/config/detector.py', '--work-dir', 'w', '--cfg-options', 'data_root=boxes',
         'max_minutes=30'],
        ['w/config/detector.py', '--work-dir', 'w', '--resume', '--cfg-options', 'data_root=boxes',
         'scale=[96,96]', 'max_minutes=30'],
    ]  # fmt: skip
    detect.main([*args[:-2], '--dry-run'])
    assert written[1][0] == 'net' and calls[2] == [
        written[1][1], '--work-dir', 'w', '--dry-run', '--cfg-options', 'data_root=boxes'
    ]  # fmt: skip
    assert not Path(written[1][1]).exists()

    def refuse(argv):
        raise ValueError('unknown key')

    monkeypatch.setattr(train, 'main', refuse)
    for folder, is_kept in (('w', True), ('new', False)):
        with pytest.raises(ValueError, match='unknown key'):
            detect.main(['net', '--data', 'boxes', '--work-dir', folder])
        assert Path(folder).exists() == is_kept
    with pytest.raises(FileNotFoundError, match='--data gone: no such folder'):
        detect.main(['net', '--data', 'gone'])
