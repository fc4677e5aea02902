# RTMDet with cream-287m on COCO, 300 epochs, 8 GPUs x 32 images of 640 x 640.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/rtmdet_cream-287m_8xb32-300e_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=cream-287m.pth
#
# Around the backbone it is mmdet's rtmdet_s_8xb32-300e_coco.py; comments say what differs. No
# published result is known, and none was measured here.
_base_ = '../retinanet_cream.py'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
batch_size = 32  # per GPU; 8 GPUs
max_epochs = 300
# From this epoch on, images are neither mixed nor put into mosaics. It moves with max_epochs.
switch_epoch = 280
num_workers = 10
scale = (640, 640)  # sides of the images, in pixels; multiples of 32

# ---- model ---------------------------------------------------------------------------------------
sync_bn = 'torch'  # in distributed runs batch norm uses the images of all GPUs, as in RTMDet
model = dict(
    _delete_=True,
    type='RTMDet',
    # Images are normalised as for the backbone's classifier: RGB. RTMDet's own backbone takes BGR.
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(type='cream_mm.CreamNet', arch='cream-287m', out_indices=(2, 4, 6)),
    # strides 8, 16, 32; inside the neck the maps keep the backbone's widths
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[40, 96, 320],
        out_channels=128,
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
    ),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=_base_.num_classes,
        in_channels=128,
        stacked_convs=2,
        feat_channels=128,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=False,  # as in the small RTMDets; True in the large ones
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
    ),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=30000,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type='nms', iou_threshold=0.65),
        max_per_img=300,
    ),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    # Four images into one of twice the size. The other three come from a cache, so that each
    # image is read once; the first four images of a worker stay as they are.
    dict(type='CachedMosaic', img_scale=scale, pad_val=114.0),
    dict(
        type='RandomResize',
        scale=(2 * scale[0], 2 * scale[1]),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=scale),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Pad', size=scale, pad_val=dict(img=(114, 114, 114))),
    dict(
        type='CachedMixUp',
        img_scale=scale,
        ratio_range=(1.0, 1.0),
        max_cached_images=20,
        pad_val=(114, 114, 114),
    ),
    dict(type='PackDetInputs'),
]
train_pipeline_stage2 = [
    dict(type='cream_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=scale),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Pad', size=scale, pad_val=dict(img=(114, 114, 114))),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='Pad', size=scale, pad_val=dict(img=(114, 114, 114))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    pin_memory=True,
    batch_sampler=None,  # all images are square
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=5, num_workers=num_workers, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(proposal_nums=(100, 1, 10))  # AP of at most 100 boxes per image, as in COCO
test_evaluator = val_evaluator

# ---- schedule ------------------------------------------------------------------------------------
train_cfg = dict(
    max_epochs=max_epochs,
    val_interval=10,
    dynamic_intervals=[(switch_epoch, 1)],  # every epoch from there on
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=1000),
    # flat for the first half, then a cosine down to 5 %
    dict(
        type='CosineAnnealingLR',
        eta_min=0.004 * 0.05,
        begin=max_epochs // 2,
        end=max_epochs,
        T_max=max_epochs // 2,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=True, base_batch_size=256)  # 8 GPUs x 32
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=3))
custom_hooks = [
    # Validation and the saved weights are those of the average; as in mmdet, before priority 50.
    dict(
        type='cream_mm.EMAHook',  # validates the raw weights too: raw_coco/bbox_mAP
        ema_type='ExpMomentumEMA',
        momentum=0.0002,
        update_buffers=True,
        priority=49,
    ),
    dict(
        type='PipelineSwitchHook',
        switch_epoch=switch_epoch,
        switch_pipeline=train_pipeline_stage2,
    ),
    dict(type='cream_mm.SmallBatchNormHook'),
]
