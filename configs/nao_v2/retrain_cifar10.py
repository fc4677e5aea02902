# Train one network of NAO's cells from scratch: the published recipe for CIFAR-10.
#
#   python tools/train.py configs/nao_v2/retrain_cifar10.py --cfg-options \
#       model.backbone.arch=work_dirs/search_cifar10/best_arch.json data_root=data/cifar10
#
# data_root holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. Images of other
# sizes are resized to input_size. For photographs give the stem a stride:
#   input_size=128 model.backbone.space.stem_stride=4
# Published error of NAONet-V2 on CIFAR-10: 2.6 %. Not reproduced here: 600 epochs are for a GPU.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cifar10'
num_classes = 10  # taken from the folders of data_root/train when they are others
input_size = 32
# The scale of the final network, not that of a search, which has 3 and 20: best_arch.json and its
# budget count the network of the search, about a fifth of this one. tools/export_arch.py keeps the
# scale of the search unless it is told another, --space num_cells=6 channels=36.
num_cells = 6  # normal cells in each of three stages
channels = 36  # of the nodes in the first stage
batch_size = 128
max_epochs = 600
num_workers = 4

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.NAONet',
        # NAONet-V2: input, operation of each edge, normal cell | reduction cell. As published, an
        # exported .json, or a nested list.
        arch='1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1',
        space=dict(num_cells=num_cells, channels=channels),
        auxiliary=True,  # the map for the second classifier, in training
        drop_path_rate=0.2,  # of the last cell, at the end of the training: custom_hooks
    ),
    head=dict(
        type='cream_mm.NAOClsHead',
        num_classes=num_classes,
        # 4 times the width of the nodes, for each state that the normal cell concatenates, and the
        # reduction cell; both follow another architecture or scale.
        in_channels=4 * channels * 4,
        aux_channels=4 * channels * 4,
        aux_weight=0.4,
        dropout=0.4,
    ),
    data_preprocessor=dict(
        num_classes=num_classes,
        mean=[125.307, 122.950, 113.865],
        std=[62.993, 62.089, 66.705],
        to_rgb=True,
    ),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='Resize', scale=input_size),
    dict(type='RandomCrop', crop_size=input_size, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Cutout', shape=16, pad_val=(114, 123, 125), prob=1.0),  # filled with the mean
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=input_size),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='cream_mm.ImageFolder', data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='cream_mm.ImageFolder', data_root=data_root, folder='val', pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# ---- schedule ------------------------------------------------------------------------------------
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.025, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [  # to 0 along a cosine, every epoch
    dict(type='CosineAnnealingLR', eta_min=0, end=max_epochs),
]
custom_hooks = [dict(type='cream_mm.DropPathHook')]  # from 0 to drop_path_rate, step by step
# lr is for 128 images per step and is scaled to what you run.
auto_scale_lr = dict(enable=True, base_batch_size=128)
default_hooks = dict(checkpoint=dict(save_best='auto'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
