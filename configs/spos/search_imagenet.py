# Search a backbone under a FLOPs budget by plain single-path training (SPOS): an unchanged
# ImageClassifier of mmpretrain around the supernet, one random path per step.
#
#   python tools/train.py configs/spos/search_imagenet.py --cfg-options data_root=FOLDER \
#       budget.macs_m=[300,400] batch_size=64 max_epochs=60
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. The answer is
# written to work_dirs/search_imagenet/best_arch.json, and a set of answers, small to large, to
# front.json. Not run on ImageNet here.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/imagenet'
num_classes = 1000  # taken from the folders of data_root/train when they are others
input_size = 224
# Millions of multiply-adds at input_size, head included. Paths of this space cost 284 to 551 M at
# 224 pixels; for less, make model.backbone.space.depths smaller.
budget = dict(macs_m=(0, 600))
# What paths are compared by: None is the cross entropy. Any metric of test_evaluator will do, for
# example 'single-label/f1-score' with test_evaluator=dict(type='SingleLabelMetric'), or
# 'single-label/recall', which is the balanced accuracy.
metric = None
batch_size = 128  # per GPU; 8 GPUs
max_epochs = 120
num_workers = 8

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cream_mm.CreamSupernet',
        space=dict(depths=(4, 4, 4, 4, 4)),  # layers per stage; 6 choices each
        costs=dict(input_size=input_size, num_classes=num_classes),
        budget=budget,
    ),
    head=dict(
        type='cream_mm.CreamClsHead',  # or any of mmpretrain; costs.head_channels=0 without conv1x1
        num_classes=num_classes,
        in_channels=320,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    data_preprocessor=dict(
        num_classes=num_classes,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=input_size),
    dict(type='PackInputs'),
]
# Paths are rated on training images that were held out of the training. 'auto': 10 % or 500
# images, whichever is less, but at least 2 %. The validation set reports, and chooses nothing.
holdout = 'auto'
train_set = dict(
    type='cream_mm.ImageFolder',
    data_root=data_root,
    part='train',
    holdout=holdout,
    pipeline=train_pipeline,
)
held_out_set = dict(
    type='cream_mm.ImageFolder',
    data_root=data_root,
    part='holdout',
    holdout=holdout,
    pipeline=test_pipeline,
)
val_set = dict(
    type='cream_mm.ImageFolder', data_root=data_root, folder='val', pipeline=test_pipeline
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=train_set,
)
val_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),  # SupernetValLoop tells why
    dataset=val_set,
)
test_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=held_out_set,
)

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    type='cream_mm.SupernetTrainLoop',
    max_epochs=max_epochs,
    val_interval=5,
    sampler=dict(type='cream_mm.PathSampler'),  # uniform within the budget
)
# Each step's path and loss, from which the answer is read: path_log.jsonl.
default_hooks = dict(path_log=dict(type='cream_mm.PathLogHook'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
val_cfg = dict(type='cream_mm.SupernetValLoop')
val_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict(
    type='cream_mm.SearchLoop',  # runs when the training ends
    metric=metric,
    bn_dataset=dict(train_set, pipeline=test_pipeline),
    num_random=20,
    num_images=5000,
    num_bn_images=2048,
    next_steps=dict(
        retrain='configs/cream/retrain_imagenet.py', detector='configs/retinanet_cream.py'
    ),
)
test_evaluator = val_evaluator

# On several GPUs the gradients of the step's path are exchanged, not those of all paths.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',  # two groups, not one per parameter
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),  # early on, one path's step can throw the others off
)
param_scheduler = [  # linear to 0, every iteration
    dict(type='LinearLR', start_factor=1.0, end_factor=1e-8, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
# lr is for 8 x 128 images per step and is scaled to what you run.
auto_scale_lr = dict(enable=True, base_batch_size=1024)
