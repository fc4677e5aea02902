"""Wrote the files in this folder with cream_mm 0.1; tests/test_v0_1_files.py reads them.

  git worktree add --detach /tmp/v0_1 22fb699
  OMP_NUM_THREADS=1 python tests/data/v0_1/make.py /tmp/v0_1 --out /tmp/v0_1_files

One search on tiny coloured images, its export, a retraining of what it found, and a detector
around that. They are what a user of version 0.1 has on the disk, so they are not made again when
the code changes: a later version reads these.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SPACE = """dict(
    depths=(1, 2), choices=((3, 1), (5, 2)), widths=(8, 8), strides=(2, 2),
    stem_channels=8, stem_stride=1, final_channels=16,
)"""
# bfloat16 where the CPU has it would make the numbers those of one machine.
SEARCH = f"""
_base_ = '{{configs}}/cream/search_imagenet.py'
data_root = 'data'
num_classes = 3
input_size = 16
budget = dict(_delete_=True, macs_m=(0, 0.3))
batch_size = 6
max_epochs = 4
num_workers = 0
model = dict(
    input_size=input_size, budget=budget, side_precision='float32',
    backbone=dict(space={SPACE}, out_indices=(3,)),
    head=dict(num_classes=num_classes, in_channels=16, hidden_channels=16),
    board=dict(capacity=3, num_images=2),
)
custom_hooks = _base_.custom_hooks
custom_hooks[0].warmup = 0.3
custom_hooks[1].interval = 2
custom_hooks[1].num_images = 3
train_cfg = dict(val_interval=2, sampler=dict(op_prob=None))
test_cfg = dict(num_random=2, num_images=None, num_bn_images=24)
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=6)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""
RETRAIN = ['batch_size=6', 'max_epochs=2', 'num_workers=0', 'default_hooks.logger.interval=1',
           'optim_wrapper.optimizer.lr=0.01', 'auto_scale_lr.base_batch_size=6']  # fmt: skip
DETECTOR = """
_base_ = '{configs}/retinanet_cream.py'
data_root = 'coco/'
num_classes = 2
max_epochs = 1
num_workers = 0
model = dict(
    backbone=dict(arch='export/arch.json', out_indices=(1, 2)),
    neck=dict(
        in_channels=[8, 8], out_channels=8, start_level=0, add_extra_convs=False, num_outs=2
    ),
    bbox_head=dict(
        num_classes=num_classes, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(scales_per_octave=1, ratios=[1.0], strides=[2, 4]),
    ),
)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = (32, 32)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, filter_cfg=dict(min_size=8)))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
"""
# Reads the checkpoints with the code that wrote them, and notes what the networks answer.
OUTPUTS = """
import json, subprocess, sys
from pathlib import Path
import torch, mmengine
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
import cream_mm

code = Path(sys.argv[1])
assert code in Path(cream_mm.__file__).parents, cream_mm.__file__
image = torch.linspace(-2, 2, 3 * 16 * 16).view(1, 3, 16, 16).sin()
answers = {}
with torch.no_grad():
    for name in ('export/weights.pth', 'retrain/epoch_1.pth', 'retrain/epoch_2.pth'):
        answers[name] = cream_mm.create_model('export/arch.json', checkpoint=name)(image).tolist()
    cfg = Config.fromfile('detector/detector.py')
    init_default_scope('mmdet')
    detector = MODELS.build(cfg.model).eval()
    load_checkpoint(detector, 'detector/epoch_1.pth', map_location='cpu', strict=True)
    outputs = detector(image)
answers['detector/epoch_1.pth'] = [[level.flatten().tolist() for level in kind[1:]]
                                   for kind in outputs]
commit = subprocess.run(['git', '-C', code, 'rev-parse', 'HEAD'], capture_output=True, text=True)
about = dict(
    cream_mm=cream_mm.__version__, commit=commit.stdout.strip(),
    torch=torch.__version__, mmengine=mmengine.__version__,
)
Path('outputs.json').write_text(json.dumps(dict(about=about, answers=answers), indent=1) + '\\n')
"""
# Not the last retrained weights, whose outputs will do, nor second copies of configs and logs.
LEFT_OUT = (
    '*/vis_data/*_*.json', '*/vis_data/*.py', '*.log', '.run.lock', 'retrain/*_2.pth',
    '*/best_acc*.pth',
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('code', type=Path, help='a checkout of version 0.1')
    parser.add_argument('--out', type=Path, required=True, help='folder to write into')
    args = parser.parse_args()
    code = args.code.resolve()
    with tempfile.TemporaryDirectory() as home:
        make(code, Path(home))
        keep(Path(home), args.out)


def make(code: Path, home: Path) -> None:
    def python(*rest: object) -> None:
        env = {**os.environ, 'PYTHONPATH': str(code), 'OMP_NUM_THREADS': '1'}
        subprocess.run([sys.executable, *map(str, rest)], cwd=home, env=env, check=True)

    def tool(name: str, *rest: object) -> None:
        python(code / 'tools' / name, *rest)

    for name, text in (('search', SEARCH), ('detector', DETECTOR)):
        (home / f'{name}.py').write_text(text.format(configs=code / 'configs'))
    python('-c', "from cream_mm.testing import write_image_folder as write; write('jpeg', "
           "classes=('a', 'b', 'c'), train=12, val=4, size=(18, 18))")  # fmt: skip
    tool('prepare_images.py', 'jpeg', 'data', '--pack', '--num-workers', 1)
    write_coco(home)

    tool('train.py', 'search.py', '--work-dir', 'search')
    tool('search.py', 'search/search.py', 'search/epoch_4.pth', '--strategy', 'random', '--num', 5)
    tool('export_arch.py', 'search/best_arch.json', '--out', 'export')
    tool('train.py', 'export/retrain.py', '--work-dir', 'retrain', '--cfg-options', *RETRAIN)
    tool('train.py', 'detector.py', '--work-dir', 'detector')
    python('-c', OUTPUTS, code)


def write_coco(home: Path) -> None:
    """The first images of each class, each with one box."""
    images = sorted((home / 'jpeg/train').glob('*/00[01].jpg'))
    content = dict(images=[], annotations=[])
    content['categories'] = [dict(id=i + 1, name=name) for i, name in enumerate('ab')]
    for i, path in enumerate(images):
        content['images'].append(dict(id=i, file_name=f'{i}.jpg', width=18, height=18))
        content['annotations'].append(
            dict(id=i, image_id=i, category_id=1 + i % 2, bbox=[2, 3, 10, 12], area=120, iscrowd=0)
        )
        for split in ('train2017', 'val2017'):
            (home / 'coco' / split).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, home / 'coco' / split / f'{i}.jpg')
    (home / 'coco/annotations').mkdir()
    for split in ('train2017', 'val2017'):
        (home / f'coco/annotations/instances_{split}.json').write_text(json.dumps(content))


def keep(home: Path, out: Path) -> None:
    for part in ('data', 'search', 'export', 'retrain', 'detector', 'outputs.json'):
        for path in sorted((home / part, *(home / part).rglob('*'))):
            name = path.relative_to(home)
            if path.is_file() and not any(name.match(pattern) for pattern in LEFT_OUT):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / name)


if __name__ == '__main__':
    main()
