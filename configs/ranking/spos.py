# Single-path training (SPOS): a uniformly drawn path per step, plain classification loss. The base
# of the other training methods of this folder, which are compared on NAS-Bench-Macro: 6561
# networks whose CIFAR-10 accuracy, each trained alone, is known.
#
#   python tools/prepare_images.py data/cifar10 data/cifar10_16 --size 16 --pack
#   python tools/train.py configs/ranking/spos.py --work-dir work_dirs/ranking/spos
#   python tools/rank_correlation.py configs/ranking/spos.py work_dirs/ranking/spos/epoch_7.pth \
#       data/nas-bench-macro_cifar10.json --num 500 --above 90
#
# data/cifar10 holds train/<class>/*.jpg and test/<class>/*.jpg. 16 x 16 pixels are for 2 CPU cores.
# All methods at once, with seeds, records and figures: benchmarks/ranking/run.py; about 13 minutes
# a run on one core. Results: docs/results/ranking.md.
_base_ = '../cream/search_imagenet.py'

data_root = 'data/cifar10_16'
num_classes = 10
input_size = 16
budget = dict(_delete_=True)  # none: every path is trained
batch_size = 128
max_epochs = 7  # of 49,000 images
num_workers = 0

model = dict(
    input_size=input_size,
    budget=budget,
    backbone=dict(space=dict(_delete_=True, preset='nas_bench_macro'), out_indices=(4,)),
    head=dict(
        num_classes=num_classes,
        in_channels=1280,
        hidden_channels=None,
        # Cream's own initialisation depends on the number of classes; for 10 it is ten times this.
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
        loss=dict(_delete_=True, type='CrossEntropyLoss'),
    ),
    board=None,
    matching=None,
    data_preprocessor=dict(
        num_classes=num_classes, mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7]
    ),
)

train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='RandomCrop', crop_size=input_size, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='cream_mm.LoadImageFromFile'), dict(type='PackInputs')]
train_set = dict(data_root=data_root, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    drop_last=True,
    dataset=train_set,
)
val_set = None
val_dataloader = None
val_cfg = None
val_evaluator = None
# Paths are rated on test images, which NAS-Bench-Macro's accuracies are of, too.
test_dataloader = dict(
    num_workers=0,
    dataset=dict(data_root=data_root, pipeline=test_pipeline, folder='test', part='all'),
)

train_cfg = dict(max_epochs=max_epochs, sampler=dict(_delete_=True, type='cream_mm.PathSampler'))
custom_hooks = []
test_cfg = dict(
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline),
    bn_policy='batch_stats',
    num_random=10,
    num_images=1000,
    next_steps=dict(_delete_=True),
)

default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))  # for a curve over the training

# Clipped: early on, one path's step can throw the others off. The head is shared by all paths, and
# its 1280 inputs are all positive: at the full learning rate it overshoots for most of an epoch.
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=0.1))),
)
warmup = 0.125  # epochs
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=warmup, end=max_epochs, eta_min=0,
        convert_to_iter_based=True,
    ),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=128)
