"""Images are normalised as those that the weights were trained on; colours follow the mean."""

import pytest
import torch
from mmengine.config import Config

from cream_mm.config.normalisation import fit_images, refill

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


LITE = dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def config(checkpoint=None, load_from=None, **images):
    init = None if checkpoint is None else [dict(type='Pretrained', checkpoint=checkpoint)]
    model = dict(backbone=dict(init_cfg=init), data_preprocessor=dict(IMAGENET, **images))
    pipeline = [dict(type='RandomErasing', fill_color=[103.53, 116.28, 123.675])]
    return Config(dict(model=model, train_pipeline=pipeline, load_from=load_from))


@pytest.fixture
def checkpoint(tmp_path):
    """Of a run whose images were in BGR."""
    text = (
        "model = dict(backbone=dict(type='cream_mm.CreamNet', arch='cream-14m'),\n"
        'data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=False))'
    )
    torch.save(dict(state_dict={}, meta=dict(cfg=text)), tmp_path / 'own.pth')
    return str(tmp_path / 'own.pth')


@pytest.mark.parametrize('where', ['checkpoint', 'load_from'])
def test_the_images_follow_the_weights(where):
    cfg, lines = config(**{where: 'lite0'}), []
    fit_images(cfg, {}, lines.append)
    assert dict(cfg.model.data_preprocessor) == LITE
    assert cfg.train_pipeline[0].fill_color == [127.0] * 3
    assert len(lines) == 1 and 'mean=[127.0, 127.0, 127.0]' in lines[0] and '123.675' in lines[0]
    fit_images(cfg, {}, lines.append)
    assert len(lines) == 1
    right = config('cream-14m')  # ImageNet's
    fit_images(right, {}, lines.append)
    assert right.model.data_preprocessor == IMAGENET and len(lines) == 1


def test_of_a_file_the_channels_too(checkpoint):
    """``load_from`` comes after ``init_cfg``, as it is loaded over it."""
    cfg, lines = config('lite0', checkpoint), []
    fit_images(cfg, {}, lines.append)
    own = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=False)
    assert dict(cfg.model.data_preprocessor) == own
    assert cfg.train_pipeline[0].fill_color == [1.0, 2.0, 3.0]
    detector = config(checkpoint)
    detector.model.data_preprocessor.pop('to_rgb')
    detector.model.data_preprocessor.bgr_to_rgb = True  # as mmdet calls it
    fit_images(detector, {}, lines.append)
    assert detector.model.data_preprocessor.bgr_to_rgb is False
    assert 'to_rgb' not in detector.model.data_preprocessor


def test_what_is_asked_for_otherwise_is_refused(checkpoint):
    asked = {'model.data_preprocessor.mean': [123.675, 116.28, 103.53]}
    with pytest.raises(ValueError, match=r'preprocessor.mean: the weights of lite0 were .*\[127.0'):
        fit_images(config('lite0'), asked, print)


def test_nobody_knows(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    (tmp_path / 'page.pth').write_text('<html>')
    for name in ('bare.pth', 'page.pth', 'missing.pth'):
        cfg = config(str(tmp_path / name))
        fit_images(cfg, {}, pytest.fail)
        assert cfg.model.data_preprocessor == IMAGENET
    cfg = config('lite0', mean=None, std=None)  # a config without normalisation has its reasons
    fit_images(cfg, {}, pytest.fail)
