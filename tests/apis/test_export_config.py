"""Variables that an exported config can be edited by."""

from mmengine.config import Config

from cream_mm.apis.export_config import ready, write_config


def test_a_config_without_test_data():
    cfg = Config(dict(train_dataloader=dict(num_workers=0), load_from=None))
    assert ready(cfg, scope='mmdet').train_dataloader.persistent_workers is False
    assert 'load_from' not in cfg


def test_names_of_the_users(tmp_path):
    """Whole dictionaries and lists by their names, each above where it is named; no half values."""
    albu = [dict(type='Blur', p=0.1)]
    steps = [dict(type='Albu', transforms=albu), dict(type='Resize', scale=(300, 300))]
    cfg = Config(
        dict(
            unused=dict(a=1),
            train_steps=steps,
            albu_steps=albu,
            input_size=300,
            max_epochs=12,
            data_root='data/x/',
            img_scale=(300, 300),
            train_dataloader=dict(dataset=dict(data_root='data/x/', pipeline=steps)),
            train_cfg=dict(max_epochs=12),
            param_scheduler=[dict(type='MultiStepLR', end=12, milestones=[6])],
            model=dict(bbox_head=dict(anchor=dict(input_size=300))),
            model_names=dict(b=2),
        )
    )
    write_config(tmp_path / 'out' / 'a.py', cfg, 'One {{ fileDirname }}\nTwo\r\x0cthree', own=False)
    text = (tmp_path / 'out' / 'a.py').read_text()
    assert text.startswith('# One { { fileDirname }}\n# Two  three\n#\n')
    assert 'transforms=albu_steps' in text and 'pipeline=train_steps' in text
    assert text.index('albu_steps =') < text.index('train_steps =')
    assert 'data_root=data_root' in text and 'max_epochs=12' in text and 'end=12' in text
    again = Config.fromfile(str(tmp_path / 'out' / 'a.py'))
    left_out = {'unused', 'input_size', 'img_scale', 'model_names'}
    assert not left_out & set(again)
    for key in set(cfg) - left_out:
        assert again[key] == cfg[key], key
