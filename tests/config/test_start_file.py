"""Which network a name, a file or a folder means."""

import json

import pytest
import torch

from cream_mm.config.start_file import IMAGENET, read_start
from cream_mm.costs import build_cost_model
from cream_mm.files.arch_file import arch_content
from cream_mm.models import CreamClsHead, CreamNet, CreamSupernet
from cream_mm.models.backbones.published import published_nets
from cream_mm.spaces import MBConvSpace

SPACE = MBConvSpace.build(dict(depths=(1, 1, 1, 1, 1), width_mult=0.25, stem_stride=1))
ARCH = SPACE.parse([[0], [1], [0], [3], [0], [1], [0]])
CONFIG = f"""
input_size = 48
model = dict(
    backbone=dict(type='cream_mm.CreamNet', arch={ARCH.to_list()}, space={SPACE.to_dict()}),
    data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=False))
"""


def tensors(backbone=None, head=True):
    backbone = backbone or CreamNet(ARCH, space=SPACE.to_dict())
    state = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    head = CreamClsHead(3, SPACE.stage_channels[-1], 64).state_dict() if head else {}
    return {**state, **{f'head.{k}': v for k, v in head.items()}}


@pytest.fixture
def save(tmp_path):
    def write(name='w.pth', state=None, **meta):
        torch.save(dict(state_dict=state or tensors(), meta=meta), tmp_path / name)
        return str(tmp_path / name)

    return write


def beside(folder, **more):
    costs = build_cost_model(SPACE, 48, 3, 64)
    content = arch_content(ARCH, costs, preprocess=dict(mean=[7.0] * 3, std=[8.0] * 3), **more)
    (folder / 'arch.json').write_text(json.dumps(content))


def test_a_published_name():
    start = read_start('lite1')
    assert (start.arch, start.space) == published_nets['lite1'].network()
    assert start.preprocess == dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
    assert start.hidden == 1280 and start.is_published and not start.is_trained
    with pytest.raises(ValueError, match='start=cream-14m: .*convert_checkpoint.py and give start'):
        read_start('cream-14m')
    with pytest.raises(FileNotFoundError, match='start=lite9: no such file .*lite0, lite1, lite2$'):
        read_start('lite9')


def test_a_checkpoint_of_a_run(save):
    """By the text of its config; the classes are those of its data."""
    start = read_start(save(cfg=CONFIG, dataset_meta=dict(classes=('b', 'a', 'c'))))
    assert (start.arch, start.space) == (ARCH, SPACE.of_network(ARCH))
    assert start.space.stem_stride == 1 and start.hidden == 64
    assert start.preprocess == dict(mean=[1, 2, 3], std=[4, 5, 6], to_rgb=False)
    assert start.classes == ('b', 'a', 'c') and start.input_size == 48 and start.is_trained


def test_the_whole_network_of_a_search(save):
    images = dict(mean=[9.0] * 3, std=[9.0] * 3, to_rgb=True)
    meta = dict(arch=ARCH.to_list(), space=SPACE.to_dict(), preprocess=images, input_size=64)
    meta['classes'] = ['a', 'b', 'c']
    start = read_start(save('full.pth', **meta))
    assert (start.arch, start.space) == (ARCH, SPACE.of_network(ARCH))
    assert start.preprocess['mean'] == [9.0] * 3 and start.classes == ('a', 'b', 'c')
    assert start.input_size == 64 and start.is_trained


def test_an_export(save, tmp_path):
    """Its weights are a slice's, not yet trained by itself; another file beside it is trained."""
    beside(tmp_path, classes=['a', 'b', 'c'])
    save('weights.pth', arch=ARCH.to_list())
    for name in (tmp_path, tmp_path / 'arch.json', tmp_path / 'weights.pth'):
        start = read_start(str(name))
        assert start.checkpoint == str(tmp_path / 'weights.pth') and not start.is_trained
        assert (start.space.stem_stride, start.input_size) == (1, 48)
        assert start.preprocess == dict(mean=[7.0] * 3, std=[8.0] * 3, to_rgb=False)
    assert read_start(save('mine.pth')).is_trained
    assert read_start(save('mine.pth', tensors(head=False))).hidden is None


def test_the_folder_of_a_run(save, tmp_path):
    save('epoch_2.pth', cfg=CONFIG)
    best = save('best_accuracy_top1_epoch_1.pth', cfg=CONFIG)
    assert read_start(str(tmp_path)).checkpoint == best


def test_a_converted_file_is_known_by_its_tensors(save):
    net = CreamNet('cream-14m')
    start = read_start(save(state=tensors(net)))
    assert (start.arch, start.space) == published_nets['cream-14m'].network()
    assert start.preprocess == IMAGENET and not start.is_trained


def test_other_files(save, tmp_path):
    with pytest.raises(ValueError, match='does not tell which network it is.*arch.json'):
        read_start(save())
    supernet = CreamSupernet(dict(depths=(1, 1, 1, 1, 1), width_mult=0.25))
    with pytest.raises(ValueError, match='does not tell which network|a supernet'):
        read_start(save(state=tensors(supernet)))
    beside(tmp_path)
    wrong = tensors(CreamNet([[0], [1], [0], [3], [0], [0], [0]], space=SPACE.to_dict()))
    with pytest.raises(ValueError, match='tensors are not those of the network'):
        read_start(save(state=wrong))
    nb201 = "model = dict(backbone=dict(type='cream_mm.NASBench201Net', arch={!r}))"
    cell = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'
    with pytest.raises(ValueError, match='network of NASBench201Space; slices are made of'):
        read_start(save(cfg=nb201.format(cell)))
    (tmp_path / 'page.pth').write_text('<html>404</html>')
    with pytest.raises(ValueError, match='page.pth is not a readable checkpoint'):
        read_start(str(tmp_path / 'page.pth'))
