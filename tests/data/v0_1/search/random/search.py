custom_imports = dict(imports=['cream_mm'])
runner_type = 'cream_mm.Runner'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=1),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='cream_mm.CheckpointHook', interval=2, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    finite_loss=dict(type='cream_mm.FiniteLossHook', action='stop'),
    norm_stats=dict(type='cream_mm.NormStatsHook'),
    label_range=dict(type='cream_mm.LabelRangeHook'),
    path_log=dict(type='cream_mm.PathLogHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = 'search/epoch_4.pth'
resume = False
randomness = dict(seed=0)
default_scope = 'mmpretrain'
data_root = 'data'
num_classes = 3
input_size = 16
budget = dict(macs_m=(0, 0.3))
batch_size = 6
max_epochs = 4
num_workers = 0
model = dict(
    type='cream_mm.Cream',
    compat=dict(mode='fixed'),
    side_precision='float32',
    input_size=16,
    budget=dict(macs_m=(0, 0.3)),
    backbone=dict(
        type='cream_mm.CreamSupernet',
        space=dict(
            depths=(1, 2),
            choices=((3, 1), (5, 2)),
            widths=(8, 8),
            strides=(2, 2),
            stem_channels=8,
            stem_stride=1,
            final_channels=16,
        ),
        out_indices=(3,),
    ),
    head=dict(
        type='cream_mm.CreamClsHead',
        num_classes=3,
        in_channels=16,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        hidden_channels=16,
    ),
    board=dict(capacity=3, num_images=2),
    matching=dict(type='cream_mm.MetaMatching'),
    data_preprocessor=dict(
        num_classes=3,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=16),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(
        type='RandomErasing',
        erase_prob=0.2,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=0.3333333333333333,
        aspect_range=(0.3, 3.3333333333333335),
        fill_color=[103.53, 116.28, 123.675],
        fill_std=[57.375, 57.12, 58.395],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImage', on_error='partial'),
    dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=16),
    dict(type='PackInputs'),
]
holdout = 'auto'
train_set = dict(
    type='cream_mm.ImageFolder',
    data_root='data',
    part='train',
    holdout='auto',
    pipeline=[
        dict(type='cream_mm.LoadImage'),
        dict(type='cream_mm.RandomResizedCrop', scale=16),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
        dict(
            type='RandomErasing',
            erase_prob=0.2,
            mode='rand',
            min_area_ratio=0.02,
            max_area_ratio=0.3333333333333333,
            aspect_range=(0.3, 3.3333333333333335),
            fill_color=[103.53, 116.28, 123.675],
            fill_std=[57.375, 57.12, 58.395],
        ),
        dict(type='PackInputs'),
    ],
)
held_out_set = dict(
    type='cream_mm.ImageFolder',
    data_root='data',
    part='holdout',
    holdout='auto',
    pipeline=[
        dict(type='cream_mm.LoadImage', on_error='partial'),
        dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
        dict(type='CenterCrop', crop_size=16),
        dict(type='PackInputs'),
    ],
)
val_set = dict(
    type='cream_mm.ImageFolder',
    data_root='data',
    folder='val',
    pipeline=[
        dict(type='cream_mm.LoadImage', on_error='partial'),
        dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
        dict(type='CenterCrop', crop_size=16),
        dict(type='PackInputs'),
    ],
)
train_dataloader = dict(
    batch_size=6,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root='data',
        part='train',
        holdout='auto',
        pipeline=[
            dict(type='cream_mm.LoadImage'),
            dict(type='cream_mm.RandomResizedCrop', scale=16),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
            dict(
                type='RandomErasing',
                erase_prob=0.2,
                mode='rand',
                min_area_ratio=0.02,
                max_area_ratio=0.3333333333333333,
                aspect_range=(0.3, 3.3333333333333335),
                fill_color=[103.53, 116.28, 123.675],
                fill_std=[57.375, 57.12, 58.395],
            ),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root='data',
        folder='val',
        pipeline=[
            dict(type='cream_mm.LoadImage', on_error='partial'),
            dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=16),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='cream_mm.ImageFolder',
        data_root='data',
        part='holdout',
        holdout='auto',
        pipeline=[
            dict(type='cream_mm.LoadImage', on_error='partial'),
            dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=16),
            dict(type='PackInputs'),
        ],
    ),
    persistent_workers=False,
)
train_cfg = dict(
    type='cream_mm.SupernetTrainLoop',
    max_epochs=4,
    val_interval=2,
    sampler=dict(type='cream_mm.PathSampler', op_prob=None),
)
custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.3),
    dict(
        type='cream_mm.MetaMatchingHook',
        dataset=dict(
            type='cream_mm.ImageFolder',
            data_root='data',
            part='holdout',
            holdout='auto',
            pipeline=[
                dict(type='cream_mm.LoadImage', on_error='partial'),
                dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
                dict(type='CenterCrop', crop_size=16),
                dict(type='PackInputs'),
            ],
        ),
        interval=2,
        num_images=3,
    ),
]
val_cfg = dict(type='cream_mm.SupernetValLoop')
val_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict(
    type='cream_mm.BoardRatingLoop',
    bn_dataset=dict(
        type='cream_mm.ImageFolder',
        data_root='data',
        part='train',
        holdout='auto',
        pipeline=[
            dict(type='cream_mm.LoadImage', on_error='partial'),
            dict(type='ResizeEdge', scale=18, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=16),
            dict(type='PackInputs'),
        ],
    ),
    num_random=2,
    num_images=None,
    num_bn_images=24,
    next_steps=dict(
        retrain='configs/cream/retrain_imagenet.py',
        detector='configs/retinanet_cream.py',
    ),
)
test_evaluator = []
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0001),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=1e-08, end=4, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=6)
classes = ('a', 'b', 'c')
launcher = 'none'
work_dir = 'search/random'
