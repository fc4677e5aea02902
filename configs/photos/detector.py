# A light detector on a small set of photographs: EfficientNet-Lite0 with its ImageNet weights under
# RetinaNet's losses, with a neck and a head of 96 channels. For two CPU cores.
#
#   python tools/train.py configs/photos/detector.py --cfg-options data_root=FOLDER
#
# FOLDER is a set in the form of COCO, PASCAL VOC or YOLO, or with a CSV of boxes (docs/data.md);
# without a split 20 % of the images are validated on. search_detector.py beside this file searches
# the backbone of this detector. docs/results/photos_detector.md has what both reach on cards.
_base_ = '../retinanet_cream.py'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cards/'
num_classes = 6  # taken from the annotations when they have others
scale = (288, 288)  # width and height that images are resized to fit into, in pixels
batch_size = 8
max_epochs = 24
min_steps = 800  # a set of few photographs gets more epochs, unless max_epochs is given
num_workers = 2

# ---- model ---------------------------------------------------------------------------------------
# At 288 x 288 the backbone has 601 M multiply-adds, the neck 159 M, the heads 662 M.
model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # as Lite0's weights take images
    backbone=dict(
        arch='lite0',  # or an exported .json, or a nested list
        out_indices=(2, 4, 6),  # strides 8, 16, 32
        init_cfg=dict(type='Pretrained', checkpoint='lite0'),
    ),
    neck=dict(
        in_channels=[40, 112, 320],
        out_channels=96,
        start_level=0,
        add_extra_convs='on_output',
        num_outs=4,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        type='RetinaSepBNHead',
        num_ins=4,
        num_classes=num_classes,
        in_channels=96,
        feat_channels=96,
        stacked_convs=2,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(
            octave_base_scale=4,
            scales_per_octave=2,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64],
        ),
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=2.0),
    ),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=scale, ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='cream_mm.DetRandomCrop', crop_size=scale),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    # Images without a box train as background.
    dataset=dict(
        data_root=data_root,
        pipeline=train_pipeline,
        filter_cfg=dict(filter_empty_gt=False, min_size=8),
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

# ---- schedule ------------------------------------------------------------------------------------
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=7e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', eta_min=0, begin=0, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=8)
