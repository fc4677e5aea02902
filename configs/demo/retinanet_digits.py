# The demo's detector: RetinaNet on scenes of digits, around the retrained backbone; minutes.
#
#   python tools/train.py configs/demo/retinanet_digits.py --work-dir work_dirs/demo/retinanet
#
# The same classes and loops as configs/retinanet_cream.py, only smaller.
_base_ = '../retinanet_cream.py'

data_root = 'data/digit_scenes/'
num_classes = 10
scale = (96, 96)
batch_size = 16
max_epochs = 9
num_workers = 0

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], pad_size_divisor=16
    ),
    backbone=dict(
        arch='work_dirs/demo/export/arch.json',
        space=dict(stem_stride=2),  # scenes show digits about twice as large as 28 pixels
        out_indices=(2, 4),  # strides 8 and 16
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/demo/retrain/epoch_12.pth',
            prefix='backbone.',
        ),
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
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=train_pipeline, filter_cfg=dict(min_size=8)),
)
val_dataloader = dict(
    batch_size=25,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
test_evaluator = dict(outfile_prefix='work_dirs/demo/retinanet/val')  # boxes for the report

train_cfg = dict(max_epochs=max_epochs, val_interval=3)
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
