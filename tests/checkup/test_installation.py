"""Names, versions and bounds, with made-up distributions."""

import importlib.metadata
import json

import pytest

from cream_mm.checkup import installation
from cream_mm.checkup.installation import (
    _requirement,
    check_extras,
    check_family_packages,
    check_opencv,
    check_self,
    check_setuptools,
    check_versions,
    pip_line,
    requirements,
)

ONEDL = {
    'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1',
    'onedl-mmpretrain': '1.3.6',
}  # fmt: skip
CLASSIC = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0', 'mmpretrain': '1.2.0'}
NEEDED = {
    'jinja2': '3.1.6', 'matplotlib': '3.11.2', 'numpy': '2.4.6', 'pillow': '13.0',
    'pycocotools': '2.0.11', 'scipy': '1.17', 'timm': '1.0.31', 'torch': '2.10.0+cu128',
    'torchvision': '0.25.0', 'setuptools': '84.2.1', 'opencv-python-headless': '5.0.0.93',
}  # fmt: skip


@pytest.fixture
def have(monkeypatch):
    """Lets these distributions be installed, and no other."""

    def set_to(*versions, torch_of_vision='torch (==2.10.0)'):
        all_of_them = {name: v for part in versions for name, v in part.items()}
        monkeypatch.setattr(installation, 'installed', all_of_them.get)
        original = importlib.metadata.requires
        monkeypatch.setattr(
            importlib.metadata,
            'requires',
            lambda n: [torch_of_vision, 'numpy'] if n == 'torchvision' else original(n),
        )

    return set_to


def states(findings):
    return [(one.status, one.text) for one in findings]


@pytest.mark.parametrize(
    ('line', 'version', 'allowed'),
    [
        ('torch >=2.1, <2.2', '2.1.2+cpu', True),
        ('torch >=2.1, <2.2', '2.10.0', False),
        ('torch (==2.10.0)', '2.10.0+cu128', True),
        ('torch==2.1', '2.1.0', True),
        ('numpy<2', '2.0.0rc1', False),
        ('numpy >=1.24', '1.9', False),
        ('pillow !=8.3.*,>=5.3.0', '8.3.1', False),
        ('pillow !=8.3.*,>=5.3.0', '8.4', True),
        ('a ~=1.4', '1.9', True),
        ('a ~=1.4', '2.0', False),
        ('a', '0', True),
        ('a >=1', 'of git', True),
    ],
)
def test_bounds(line, version, allowed):
    assert _requirement(line)[0].allows(version) is allowed


def test_lines_of_metadata():
    assert str(_requirement('onedl-mmcv<2.4,>=2.3.6; extra == "onedl"')[0]) == (
        'onedl-mmcv <2.4, >=2.3.6'
    )
    assert _requirement("gdown (>=4.7.3) ; extra == 'gdown'")[1] == 'gdown'


def test_bounds_are_those_of_setup_cfg():
    found = requirements()
    assert {'', 'onedl', 'openmmlab', 'pretrained', 'wandb'} <= set(found)
    assert 'pycocotools >=2.0.8' in map(str, found[''])
    assert 'numpy <2' in map(str, found['openmmlab'])


def test_of_a_wheel_they_are_those_of_its_metadata(monkeypatch):
    monkeypatch.setattr(installation, '_setup_cfg', lambda: None)
    lines = ['numpy>=1.24', 'onnx>=1.16; extra == "onnx"', 'onnxruntime; extra == "onnx"']
    monkeypatch.setattr(importlib.metadata, 'requires', lambda name: lines)
    found = {extra: [str(one) for one in some] for extra, some in requirements().items()}
    assert found == {'': ['numpy >=1.24'], 'onnx': ['onnx >=1.16', 'onnxruntime']}
    assert pip_line('onnx') == 'pip install "cream-mm[onnx]"'


def test_a_whole_installation(have):
    have(ONEDL, NEEDED)
    assert [one.status for one in check_family_packages()] == ['ok']
    assert [one.status for one in (*check_versions(), *check_opencv())] == ['ok', 'ok']


def test_two_families_none_and_a_part(have):
    have(ONEDL, {'mmdet': '3.3.0'})
    [one] = check_family_packages()
    assert one.status == 'wrong' and 'two families' in one.text
    assert one.remedy.startswith('pip uninstall -y onedl-mmengine onedl-mmcv onedl-mmdetection ')
    have({})
    assert 'none of mmengine' in check_family_packages()[0].text
    have({k: v for k, v in CLASSIC.items() if k != 'mmpretrain'})
    [one] = check_family_packages()
    assert (one.status, one.text) == ('wrong', 'of the family openmmlab there is no mmpretrain')
    assert one.remedy.endswith('[openmmlab]"')


def test_versions_out_of_bounds(have):
    """numpy 2 is fine in one family and not in the other; torchvision is for one torch."""
    have(CLASSIC, NEEDED, {'torch': '2.1.2', 'torchvision': '0.16.2', 'setuptools': '80.9',
                             'opencv-python-headless': '4.11'},
         torch_of_vision='torch (==2.1.2)')  # fmt: skip
    wrong = [one for one in check_versions() if one.status == 'wrong']
    assert [(one.text, one.remedy) for one in wrong] == [
        ('numpy is 2.4.6, and numpy <2 is asked for', 'pip install "numpy<2"')
    ]
    have(ONEDL, NEEDED, {'torch': '2.9.1', 'pycocotools': '2.0.7'})
    wrong = [one.text for one in check_versions() if one.status == 'wrong']
    assert wrong == [
        'pycocotools is 2.0.7, and pycocotools >=2.0.8 is asked for',
        'torchvision 0.25.0 is for torch ==2.10.0, and it is 2.9.1',
    ]
    have(ONEDL, {k: v for k, v in NEEDED.items() if k not in ('timm', 'scipy')})
    wrong = [one for one in check_versions() if one.status == 'wrong']
    assert [one.text for one in wrong] == ['not installed: scipy, timm']
    assert wrong[0].remedy.endswith('[onedl]"')


def test_builds_of_opencv(have):
    have(NEEDED, {'opencv-python': '4.9'})
    [one] = check_opencv()
    assert one.status == 'note' and 'the last one installed counts' in one.text
    assert one.remedy == (
        'pip uninstall -y opencv-python opencv-python-headless && pip install '
        'opencv-python-headless'
    )
    have({})
    assert states(check_opencv()) == [('wrong', 'no build of OpenCV is installed')]


def test_pkg_resources_is_missed_where_it_is_imported(have, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    have(ONEDL, NEEDED)
    assert [one.status for one in check_setuptools()] == ['ok']
    have(CLASSIC, {'setuptools': '82.0'})
    [one] = check_setuptools()
    assert (one.status, one.remedy) == ('wrong', 'pip install "setuptools<81"')
    assert 'no pkg_resources, which mmengine 0.10.7 imports' in one.text


def test_extras_say_what_they_are_for(have):
    have({'pymoo': '0.6.2', 'mlxtend': '0.20', 'onnx': '1.20'})
    found = {one.topic: one for one in check_extras()}
    assert found['[search]'].status == 'ok'
    assert found['[demo]'].text == 'mlxtend is 0.20, not mlxtend >=0.23'
    assert found['[demo]'].status == 'wrong'
    assert found['[onnx]'].text.startswith('without onnxruntime, ')
    assert found['[wandb]'].text == "not installed; it is for tracker='wandb'"
    assert found['[wandb]'].remedy.endswith('[wandb]"') and '[test]' not in found


def test_names_in_the_current_folder(tmp_path):
    (tmp_path / 'types.py').touch()
    (tmp_path / 'mine.py').touch()
    (tmp_path / 'cream_mm').mkdir()
    assert [one.text for one in check_self(tmp_path) if one.topic == 'folder'] == [
        f'types.py in {tmp_path}: "python -m ..." here takes them for modules'
    ]
    (tmp_path / 'cream_mm/__init__.py').touch()
    assert 'types.py, cream_mm/ in' in check_self(tmp_path)[-1].text


def test_another_checkout_than_the_installed_one(tmp_path, monkeypatch):
    (tmp_path / 'clone/cream_mm').mkdir(parents=True)
    url = dict(url=f'file://{tmp_path}/clone', dir_info=dict(editable=True))
    dist = importlib.metadata.PathDistribution(tmp_path)
    (tmp_path / 'direct_url.json').write_text(json.dumps(url))
    monkeypatch.setattr(importlib.metadata, 'distribution', lambda name: dist)
    monkeypatch.setenv('PYTHONPATH', 'x')
    [one] = check_self(tmp_path)
    assert one.status == 'note' and one.text.endswith(f'installed one is {tmp_path}/clone/cream_mm')
    assert one.remedy.startswith('give PYTHONPATH=')
