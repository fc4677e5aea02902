"""``cream_mm::`` in a config: found, and read as the file itself is."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from cream_mm.config.carry import read_config
from cream_mm.mim_scope import config_place, configs_root

NAMES = [
    'cream/search_imagenet.py',
    'photos/detector.py',
    'detection/fcos_cream-287m_fpn_1x_coco.py',
    'retinanet_cream.py',
]


def of_configs(name):
    return str(configs_root() / 'configs' / name)


@pytest.mark.parametrize('name', NAMES)
def test_what_is_inherited_is_what_the_file_says(name, tmp_path):
    """No ``_scope_`` is put in: names of mmpretrain's and mmdet's would be looked for in ours."""
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = 'cream_mm::{name}'\nwork_dir = 'mine'\n")
    expected = Config.fromfile(of_configs(name))
    expected.work_dir = 'mine'
    assert Config.fromfile(path)._cfg_dict == expected._cfg_dict


def test_a_value_of_the_file_reaches_what_it_inherits(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'cream_mm::photos/search.py'\nmax_epochs = 3\n")
    cfg, places = read_config(path)
    assert cfg.train_cfg.max_epochs == 3 and 'train_cfg.max_epochs' in places['max_epochs']


def test_a_name_that_is_none_is_said(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'cream_mm::photos/none.py'\n")
    with pytest.raises(FileNotFoundError, match='photos/none.py, which .*mine.py inherits from'):
        Config.fromfile(tmp_path / 'mine.py')


def test_mmdet_scope_stays(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n")
    assert Config.fromfile(path).model._scope_ == 'mmdet'


@pytest.mark.parametrize('first', ['cream_mm, mmengine.config', 'mmengine.config, cream_mm'])
def test_whichever_is_imported_first(first, tmp_path):
    """With the clone on the path, or an installation: the folder is that of what is imported."""
    (tmp_path / 'mine.py').write_text("_base_ = 'cream_mm::photos/search.py'\n")
    code = f'import {first}; print(mmengine.config.Config.fromfile("mine.py").start)'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == 'lite0\n', done.stderr


def test_the_place_of_a_config():
    assert Path(config_place('cream_mm::photos/search.py')).is_file()
    for text in ('cream_mm::photos/none.py', 'cream_mm::', 'mmdet::a/b.py', 'a.py', '=cream_mm::'):
        assert config_place(text) == text
