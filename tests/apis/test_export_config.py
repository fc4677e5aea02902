"""Colours that follow the mean, and variables that an exported config can be edited by."""

from mmengine.config import Config

from cream_mm.apis.export_config import ready, refill, write_config

OLD, NEW = ([3.0, 2.0, 1.0], [6.0, 5.0, 4.0]), ([30.4, 20.6, 10.0], [9.0, 8.0, 7.0])


def test_colours_that_are_the_mean():
    """By value, in the channels' order in the image; what is another colour stays."""
    cfg = dict(
        a=[dict(type='RandomErasing', fill_color=[3.0, 2.0, 1.0], fill_std=[6.0, 5.0, 4.0])],
        b=dict(type='Pad', pad_val=dict(img=(3.0, 2.0, 1.0), seg=255)),
        c=dict(type='AutoAugment', hparams=dict(pad_val=[3, 2, 1])),
        d=dict(type='Expand', mean=[1.0, 2.0, 3.0], to_rgb=True),
        e=dict(type='Expand', mean=[3.0, 2.0, 1.0], to_rgb=False),
        f=dict(type='Expand', mean=[1.0, 2.0, 3.0]),  # as mmdet's default, RGB
        g=dict(type='Pad', pad_val=dict(img=(114.0, 114.0, 114.0))),
        h=dict(type='Mosaic', pad_val=114.0),
        i=dict(type='X', scales=[3.0, 2.0, 1.0], mean=[0.0, 0.0, 0.0]),
    )
    refill(cfg, None, NEW)
    assert cfg['a'][0]['fill_color'] == OLD[0]  # no mean, so no colour is one
    refill(cfg, OLD, NEW)
    assert cfg['a'] == [dict(type='RandomErasing', fill_color=NEW[0], fill_std=NEW[1])]
    assert cfg['b']['pad_val'] == dict(img=(30.4, 20.6, 10.0), seg=255)
    assert cfg['c']['hparams'] == dict(pad_val=[30, 21, 10])
    assert [cfg[k]['mean'] for k in 'def'] == [NEW[0][::-1], NEW[0], NEW[0][::-1]]
    assert cfg['g']['pad_val']['img'] == (114.0, 114.0, 114.0) and cfg['h']['pad_val'] == 114.0
    assert cfg['i'] == dict(type='X', scales=[3.0, 2.0, 1.0], mean=[0.0, 0.0, 0.0])
    refill(cfg, NEW, None)  # images that are not normalised
    assert cfg['b']['pad_val']['img'] == (127.5, 127.5, 127.5)


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
