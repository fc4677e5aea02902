# Fine-tune one fixed network on a small set of photographs, with distillation from a larger one.
#
# tools/export_arch.py writes retrain.py from this, with architecture, weights, data, normalisation
# and the teacher of a search filled in. By itself, it fine-tunes EfficientNet-Lite0:
#
#   python tools/train.py configs/photos/finetune.py --cfg-options data_root=FOLDER
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/photos'
num_classes = 1000  # taken from the folders of data_root/train when they are others
input_size = 128
batch_size = 64
max_epochs = 12
min_steps = 400  # a set of few photographs gets more epochs, unless max_epochs is given
num_workers = 2
lr = 3e-4

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='cream_mm.DistilledClassifier',
    distill_weight=0.7,
    teacher=None,  # an export puts the full network of the search here
    backbone=dict(
        type='cream_mm.CreamNet',
        arch='lite0',
        init_cfg=dict(type='Pretrained', checkpoint='lite0'),
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=num_classes,
        in_channels=320,
        hidden_channels=1280,
        norm_cfg=dict(type='BN', eps=1e-3),
        act='relu6',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='Pretrained', checkpoint='lite0'),  # but for the classes
    ),
    data_preprocessor=dict(num_classes=num_classes, mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size, crop_ratio_range=(0.4, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='ResizeEdge', scale=146, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=input_size),
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
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

# ---- schedule ------------------------------------------------------------------------------------
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',  # two groups, not one per parameter
    optimizer=dict(type='AdamW', lr=lr, weight_decay=0.02),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='cream_mm.WarmupCosineLR', warmup_epochs=0.7, T_max=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=64)
default_hooks = dict(checkpoint=dict(save_best='auto'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
