"""A made search, retraining and detector, as runs leave them on the disk."""

import json
import re

import pytest
from PIL import Image

from cream_mm.spaces.blocks import BlockSpace

ARCH = [[0], [3, 4], [1], [0]]
CHOICES = [[3, 4], [3, 6], [5, 4], [5, 6], [7, 4], 'identity']


def layer(name, op, stage, kernel, expand, channels, stride, size, macs, params):
    """One entry of "layers" in best_arch.json."""
    return {
        'name': name, 'op': op, 'stage': stage, 'kernel': kernel, 'expand': expand,
        'in_channels': channels[0], 'out_channels': channels[1], 'stride': stride,
        'out_size': [size, size], 'macs': macs, 'params': params,
    }  # fmt: skip


LAYERS = [
    layer('stem', 'conv3x3', None, 3, None, (1, 16), 2, 14, 1_000_000, 400),
    layer('blocks.0.0', 'DSConv', 0, 3, None, (16, 16), 1, 14, 500_000, 600),
    layer('blocks.1.0', 'MBConv', 1, 5, 6, (16, 24), 2, 7, 2_000_000, 3_000),
    layer('blocks.1.1', 'MBConv', 1, 7, 4, (24, 24), 1, 7, 4_000_000, 5_000),
    layer('blocks.2.0', 'MBConv', 2, 3, 6, (24, 40), 2, 4, 2_000_000, 7_000),
    layer('blocks.3.0', 'conv1x1', 3, 1, None, (40, 64), 1, 4, 400_000, 2_000),
    layer('classifier', 'linear', None, None, None, (64, 10), 1, 1, 100_000, 640),
]


def best_arch():
    """A best_arch.json; its costs are those of LAYERS: 10 M MACs, 18,640 parameters."""
    return {
        'format': 'cream_mm.arch/1',
        'arch': ARCH,
        'space': {'name': 'tiny', 'choices': CHOICES},
        'num_classes': 10,
        'input_size': [28, 28],
        'costs': {'macs_m': 10.0, 'params_m': 0.01864, 'board_flops_m': 11.25},
        'rating': {'top1_pct': 97.0, 'num_images': 500, 'bn_policy': 'recalibrate(8 images)'},
        'budget': {'macs_m': [5, 20]},
        'config': 'configs/demo/search_digits.py',
        'seed': 7,
        'cream_mm': '0.1.0',
        'layers': LAYERS,
    }


def board():
    """Two board entries, the second of them chosen, and two random paths."""
    entries = [
        {'rank': 1, 'arch': [[0], [5, 5], [5], [0]], 'train_top1_pct': 98.5, 'macs_m': 14.0,
         'params_m': 0.03, 'top1_pct': 96.25},
        {'rank': 2, 'arch': ARCH, 'train_top1_pct': 98.0, 'macs_m': 10.0, 'params_m': 0.01864,
         'top1_pct': 97.0},
    ]  # fmt: skip
    random = [
        {'arch': [[0], [0, c], [c], [0]], 'source': 'random', 'macs_m': 7.0 + c,
         'params_m': 0.01, 'top1_pct': 94.0 + c}
        for c in range(2)
    ]  # fmt: skip
    return {
        'format': 'cream_mm.board/1',
        'capacity': 10,
        'budget': {'macs_m': [5, 20]},
        'entries': entries,
        'rated': [dict(entry, source='board') for entry in entries] + random,
    }


def front():
    """A front.json of three paths, the second of them the answer, and four references."""

    def row(arch, macs_m, top1_pct, **more):
        rating = dict(score=2 - top1_pct / 50, num_images=500, top1_pct=top1_pct, loss=0.1)
        return dict(more, arch=arch, costs=dict(macs_m=macs_m, params_m=0.01), rating=rating)

    answer = row(ARCH, 10.0, 97.0) | {'costs': best_arch()['costs']}
    least = [[0], [0, 0], [0], [0]]
    return {
        'format': 'cream_mm.front/1',
        'cost': 'macs_m',
        'score': 'cross_entropy',
        'higher_is_better': False,
        'by': 'effects',
        'budget': {'macs_m': [5, 20]},
        'steps': [
            row([[0], [1, 0], [0], [0]], 7.5, 95.0, bound=8),
            dict(answer, bound=12),
            row([[0], [3, 4], [4], [0]], 15.0, 97.97, bound=16),
        ],
        'references': [
            row(least, 7.0, 94.0, name='cheapest'),
            row([[0], [5, 0], [0], [0]], 8.5, 93.0, name='random'),
            row([[0], [0, 5], [0], [0]], 9.5, 95.0, name='random'),
            dict(name='wide', arch=None, costs=dict(macs_m=14.0), rating=None),
        ],
        'answer': answer,
    }


CELLS = [[(1, 16), (2, 24)], [(1, 40)]]


def block_ratings():
    """A block_ratings.json: 6 and 36 candidates of the first block's cells, 6 of the second's."""
    space = dict(name='tiny', choices=CHOICES, strides=[2, 2], stem_channels=8, cells=CELLS)
    cells = [
        [(1, 16, [1.0, 1.25, 0.5, 0.75, 2.0, 1.5]), (2, 24, [2 - i / 64 for i in range(36)])],
        [(1, 40, [3.0, 2.5, 2.75, 4.0, 3.5, 3.25])],
    ]
    space = BlockSpace.build(space).to_dict()
    return {
        'format': 'cream_mm.block_ratings/1',
        'space': json.loads(json.dumps(space)),
        'metric': 'relative_l1',
        'num_images': 500,
        'blocks': [
            {'block': i, 'cells': [{'layers': n, 'width': w, 'ratings': r} for n, w, r in block]}
            for i, block in enumerate(cells, start=1)
        ],
    }


def answer_of_blocks():
    """The answer that has the second cell of the first block and the second candidate of the other:
    2 - (3 * 6 + 4) / 64 + 2.5."""
    rating = {'metric': 'relative_l1', 'value': 4.15625, 'num_images': 500, 'bn_policy': 'none'}
    return best_arch() | {
        'space': {'name': 'tiny', 'choices': CHOICES, 'depths': [2, 1], 'widths': [24, 40]},
        'rating': rating,
        'choice': {'rule': 'blocks', 'notes': []},
        'weights_travel': False,
    }


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_scalars(work_dir, timestamp, lines):
    """As mmengine's LocalVisBackend does: one object per line."""
    path = work_dir / timestamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


@pytest.fixture
def search_dir(tmp_path):
    """A complete search directory."""
    path = tmp_path / 'search'
    write_json(path / 'best_arch.json', best_arch())
    write_json(path / 'board.json', board())
    lines = [
        {'loss': 2 / step, 'loss_cls': 1 / step, 'train_top1': 90 + step / 10, 'board_best': 99.0,
         'board_worst': 91.0, 'lr': 0.1 / step, 'time': 0.2, 'epoch': 1, 'step': step}
        for step in range(1, 31)
    ]  # fmt: skip
    write_scalars(path, '20250101_000000', lines)
    return path


@pytest.fixture
def retrain_dir(tmp_path):
    path = tmp_path / 'retrain'
    lines = [{'accuracy/top1': value, 'step': i + 1} for i, value in enumerate((91.0, 98.75, 98.5))]
    write_scalars(path, '20250102_000000', lines)
    (path / 'retrain_digits.py').write_text('')
    counts = [[0, 0, 250], [0, 1, 6], [1, 1, 244]]
    write_json(
        path / 'errors.json',
        dict(format='cream_mm.errors/1', images='500 images of digits', weights='of epoch 2',
             classes=['zero', 'one'], num_images=500, counts=counts, wrong=[]),
    )  # fmt: skip
    return path


@pytest.fixture
def detector_dir(tmp_path):
    path = tmp_path / 'detector'
    line = {'coco/bbox_mAP': 0.613, 'coco/bbox_mAP_50': 0.902, 'step': 1}
    write_scalars(path, '20250103_000000', [line])
    images = [{'id': i, 'file_name': f'{i}.png', 'width': 64, 'height': 48} for i in range(8)]
    truth = {'id': 1, 'image_id': 0, 'category_id': 3, 'bbox': [10, 10, 20, 20]}
    categories = [{'id': 3, 'name': 'three'}]
    write_json(
        path / 'val.json', {'images': images, 'annotations': [truth], 'categories': categories}
    )
    for image in images:
        (path / 'val').mkdir(exist_ok=True)
        Image.new('L', (64, 48), 30).save(path / 'val' / image['file_name'])
    write_json(
        path / 'val.bbox.json',
        [
            {'image_id': 0, 'category_id': 3, 'bbox': [11, 11, 20, 20], 'score': 0.93},
            {'image_id': 0, 'category_id': 3, 'bbox': [40, 20, 9, 9], 'score': 0.55},
            {'image_id': 0, 'category_id': 3, 'bbox': [0, 0, 5, 5], 'score': 0.39},
        ],
    )
    (path / 'retinanet.py').write_text(
        'test_dataloader = dict(dataset=dict('
        f'data_root={str(path)!r}, ann_file="val.json", data_prefix=dict(img="val/")))'
    )
    return path


def text_of(html):
    """Visible text with plain spaces and hyphens."""
    text = re.sub(r'<style>.*?</style>|<[^>]+>', ' ', html, flags=re.S)
    text = text.replace('\u00a0', ' ').replace('\u2011', '-')
    return ' '.join(text.split())


def sections(html):
    return re.findall(r'<section id="(\w+)"', html)
