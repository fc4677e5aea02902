# The vanilla supernet on the cells of NAS-Bench-201, whose 15,625 accuracies are known: a set of
# weights for each edge, one random cell a step. Reduced: one cell a stage in place of five, images
# of 16 pixels. CLOSE beside it: close.py.
#
#   python tools/prepare_images.py data/cifar10 data/cifar10_16 --size 16 --pack
#   python tools/train.py configs/ranking/nb201.py --work-dir work_dirs/ranking/nb201
#   python tools/rank_correlation.py configs/ranking/nb201.py \
#       work_dirs/ranking/nb201/epoch_100.pth data/nasbench201_200epoch.csv --num 500
#
# With seeds, records and equal seconds: benchmarks/ranking/close.py; docs/results/close.md.
_base_ = '../spos/search_imagenet.py'

data_root = 'data/cifar10_16'
num_classes = 10
input_size = 16
budget = dict(_delete_=True)  # none: every cell that can be trained is trained
batch_size = 256
max_epochs = 100
num_workers = 0
holdout = 0.2  # as published: 40,000 images are trained on, 10,000 rate

model = dict(
    backbone=dict(
        _delete_=True,
        type='cream_mm.NASBench201Supernet',
        space=dict(num_cells=1),
        costs=dict(input_size=input_size, num_classes=num_classes),
    ),
    head=dict(
        num_classes=num_classes,
        in_channels=64,
        hidden_channels=None,
        dropout=0.1,
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
        loss=dict(_delete_=True, type='CrossEntropyLoss'),
    ),
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
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    drop_last=True,
    dataset=dict(data_root=data_root, pipeline=train_pipeline, holdout=holdout),
)
val_set = None
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = dict(
    num_workers=0, dataset=dict(data_root=data_root, pipeline=test_pipeline, holdout=holdout)
)
test_cfg = dict(
    bn_dataset=dict(data_root=data_root, pipeline=test_pipeline, holdout=holdout),
    bn_policy='batch_stats',
    num_images=2000,
    next_steps=dict(_delete_=True),
)
test_evaluator = []
default_hooks = dict(checkpoint=dict(interval=25, max_keep_ckpts=-1))

# The released recipe, but for the schedule: it halves the learning rate when the loss has stood
# still for 30 epochs, which in a training of 100 happens hardly ever (first at 336 to 437 of 1,000
# in the published logs), so that the last weights would be rated at the first learning rate.
optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    optimizer=dict(_delete_=True, type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=None,
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', end=max_epochs, eta_min=0, convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=256)
