"""The process that measures: with the config, the options and the images of a run."""

import json

import pytest

from cream_mm.apis.probe_batch import main
from cream_mm.engine import batch_probe
from cream_mm.testing import tiny_space, write_image_folder

CONFIG = """
runner_type = 'cream_mm.Runner'
default_scope = 'mmpretrain'
custom_imports = dict(imports=['cream_mm'])
data_root, batch_size = None, 'auto'
pipeline = [dict(type='cream_mm.LoadImage'), dict(type='Resize', scale=(8, 8)),
            dict(type='PackInputs')]
model = dict(
    type='ImageClassifier',
    backbone=dict(type='cream_mm.CreamNet', arch=[[0], [0, 1], [1, 0], [0]], space=SPACE),
    head=dict(type='cream_mm.CreamClsHead', num_classes=2, in_channels=32),
)
train_dataloader = dict(
    batch_size=batch_size, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='cream_mm.ImageFolder', data_root=data_root, pipeline=pipeline),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
auto_scale_lr = dict(enable=ENABLE, base_batch_size=32)
"""


@pytest.mark.parametrize('enable', [True, False])
def test_it_measures_what_a_run_would_do(tmp_path, monkeypatch, enable):
    data = write_image_folder(tmp_path / 'data', train=64, size=(8, 8))
    config, order = tmp_path / 'config.py', tmp_path / 'order.json'
    text = CONFIG.replace('SPACE', repr(tiny_space().to_dict())).replace('ENABLE', str(enable))
    config.write_text(text)
    options = dict(data_root=str(data))
    order.write_text(json.dumps(dict(config=str(config), options=options, amp=False)))
    monkeypatch.setattr(batch_probe, '_SECONDS', 0.0)
    main(str(order))
    found = json.loads(order.read_text())
    sizes = [one['batch_size'] for one in found['tried']]
    assert sizes == [8, 16][: len(sizes)] and found['batch_size'] in sizes  # 128 images: 16
    assert all(one['images_per_second'] > 0 for one in found['tried'])
    assert found['lr_follows'] == enable
    assert sorted(p.name for p in tmp_path.iterdir()) == ['config.py', 'data', 'order.json']
