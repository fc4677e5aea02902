# The detector's search of the demo's size: RetinaNet on scenes of digits, around the supernet.
#
#   python tools/prepare_digits.py
#   python tools/train.py configs/demo/search_retinanet_digits.py
#
# The same classes and loops as configs/spos/search_retinanet_coco.py, only smaller. What it found:
# docs/results/detector_search.md.
_base_ = '../spos/search_retinanet_coco.py'

data_root = 'data/digit_scenes/'
num_classes = 10
scale = (96, 96)
budget = dict(macs_m=(5, 8))  # millions of multiply-adds at 96 x 96, the backbone alone
batch_size = 16
max_epochs = 24
num_workers = 0

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], pad_size_divisor=16
    ),
    backbone=dict(
        # As the demo's classifier, on scenes that show digits about twice as large.
        space=dict(depths=(1, 1, 2, 1, 1), width_mult=0.5, stem_stride=2),
        costs=dict(input_size=scale[::-1]),
        budget=budget,
        out_indices=(2, 4),  # strides 8 and 16
    ),
    neck=dict(
        in_channels=[24, 48], out_channels=64, start_level=0, add_extra_convs=False, num_outs=2,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        num_classes=num_classes,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(
            octave_base_scale=1.75, scales_per_octave=2, ratios=[1.0, 2.0], strides=[8, 16]
        ),
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=2.0),
    ),
)  # fmt: skip
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
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
train_images = dict(data_root=data_root)
train_set = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline, filter_cfg=dict(min_size=8))
)
bn_set = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
train_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=train_set)
val_dataloader = dict(
    batch_size=25,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=25,
    num_workers=num_workers,
    dataset=bn_set,
)
train_cfg = dict(max_epochs=max_epochs, val_interval=6)
test_cfg = dict(
    bn_dataset=bn_set,
    next_steps=dict(detector='configs/demo/retinanet_digits.py'),
)
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=4e-3, weight_decay=0.02),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', eta_min=4e-5, begin=0, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
auto_scale_lr = dict(enable=True, base_batch_size=16)
