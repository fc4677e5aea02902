"""A detector's config as people write it; and which part of it is the detector."""

import pytest
from mmengine.config import Config

from cream_mm.apis.detector_config import find_detector, imports_of, read_detector


def test_types_by_module_become_names(tmp_path):
    """What mmengine's dump of a lazy config leaves, and what has no registered name."""
    path = tmp_path / 'dumped.py'
    path.write_text(
        "model = dict(type='mmdet.models.RetinaNet', backbone=dict(type='mmdet.ResNet', depth=18,\n"
        "             init_cfg=dict(type='mmengine.model.PretrainedInit', checkpoint='x')))\n"
        "optimizer = dict(type='torch.optim.SGD')\n"
        "collate = dict(type='mmengine.dataset.utils.pseudo_collate')\n"
        "other = dict(type='collections.OrderedDict', kind='torch.optim.SGD')\n"
        "ours = dict(type='cream_mm.models.CreamNet')\n"
    )
    cfg = read_detector(path)
    assert cfg.default_scope == 'mmdet' and cfg.model.type == 'RetinaNet'
    assert cfg.model.backbone.type == 'mmdet.ResNet'
    assert cfg.optimizer.type == 'SGD' and cfg.ours.type == 'cream_mm.CreamNet'
    assert cfg.collate.type == 'mmengine.dataset.utils.pseudo_collate'
    assert dict(cfg.other) == dict(type='collections.OrderedDict', kind='torch.optim.SGD')


def test_values_are_carried_only_in_configs_of_ours(tmp_path):
    """A config of mmdet's is as mmengine reads it; one made from ours as tools/train.py does."""
    base = (
        "data_root = 'a'\n"
        'data = dict(data_root=data_root)\n'
        "model = dict(type='RetinaNet', backbone=dict())\n"
    )
    (tmp_path / 'base.py').write_text(base)
    (tmp_path / 'theirs.py').write_text("_base_ = './base.py'\ndata_root = 'b'\n")
    assert read_detector(tmp_path / 'theirs.py').data.data_root == 'a'
    (tmp_path / 'base.py').write_text(base + "custom_imports = dict(imports='cream_mm')\n")
    cfg = read_detector(tmp_path / 'theirs.py')
    assert cfg.data.data_root == 'b' and imports_of(cfg) == ['cream_mm']


def test_scopes_of_an_inherited_config(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'\n")
    assert '_scope_' in str(Config.fromfile(str(path)).to_dict())
    assert '_scope_' not in str(read_detector(path).to_dict())


def test_where_the_detector_is():
    plain = Config(dict(model=dict(type='A', backbone=dict(type='B'))))
    assert find_detector(plain, 'x.py') == ('model', plain.model)
    inside = Config(dict(model=dict(type='A', detector=dict(type='C', backbone=dict(type='B')))))
    assert find_detector(inside, 'x.py') == ('model.detector', inside.model.detector)
    inside.model.backbone = dict(type='D')
    assert find_detector(inside, 'x.py')[0] == 'model'
    deep = Config(dict(model=dict(type='A', parts=[dict(backbone=dict(type='B'))])))
    with pytest.raises(ValueError, match=r'x.py: its backbone is model.parts.0.backbone'):
        find_detector(deep, 'x.py')
