# Search the backbone of a detector by the detector's own loss and metric: an unchanged RetinaNet
# of mmdet around the supernet, one random path per step.
#
#   python tools/train.py configs/spos/search_retinanet_coco.py --cfg-options data_root=FOLDER \
#       budget.macs_m=[4000,6000] metric=coco/bbox_mAP_50
#
# FOLDER is COCO-style: annotations/instances_{train,val}2017.json, train2017/, val2017/; any
# classes. Paths are rated on training images that were held out of the training; the validation
# set reports, and chooses nothing. A head of 4 x 256 convolutions, as here, costs far more than the
# backbone: with feat_channels=96 and stacked_convs=2 a cheaper backbone shows. Not run on COCO
# here; configs/demo/search_retinanet_digits.py is the same, small.
_base_ = '../retinanet_cream.py'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/coco/'
num_classes = 80  # taken from the annotations when they have others
scale = (1333, 800)  # width and height that images are resized to fit into, in pixels
# Of the backbone alone, in millions, at costs.input_size: 5.7 to 11.1 G multiply-adds here.
budget = dict(macs_m=(0, 12000))
# What paths are compared by, and what the best checkpoint is the best of: any metric of the
# detector's evaluator for which higher is better, e.g. 'coco/bbox_mAP_50'.
metric = 'coco/bbox_mAP'
batch_size = 2  # per GPU; 8 GPUs
max_epochs = 36
num_workers = 2

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    backbone=dict(
        _delete_=True,
        type='cream_mm.CreamSupernet',
        space=dict(depths=(4, 4, 4, 4, 4)),  # layers per stage; 6 choices each
        costs=dict(input_size=scale[::-1], head=None),  # height and width; the backbone alone
        budget=budget,
        out_indices=(1, 2, 4, 6),  # strides 4, 8, 16, 32
    ),
)

# ---- data ----------------------------------------------------------------------------------------
holdout = 'auto'  # 10 % of the training images or 500, whichever is less, but at least 2 %
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
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
train_images = dict(
    type='cream_mm.CocoDataset',
    data_root=data_root,
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
)
train_set = dict(
    type='cream_mm.DatasetPart',
    part='train',
    holdout=holdout,
    dataset=dict(
        train_images, filter_cfg=dict(filter_empty_gt=True, min_size=32), pipeline=train_pipeline
    ),
)
train_dataloader = dict(batch_size=batch_size, dataset=dict(_delete_=True, **train_set))
val_dataloader = dict(  # SupernetValLoop tells why
    batch_size=batch_size, sampler=dict(shuffle=True)
)
test_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='cream_mm.DatasetPart',
        part='holdout',
        holdout=holdout,
        dataset=dict(train_images, test_mode=True, pipeline=test_pipeline),
    ),
)
# Images for batch norm, of backbone, neck and head: those of the training as they are tested.
bn_set = dict(
    type='cream_mm.DatasetPart',
    part='train',
    holdout=holdout,
    dataset=dict(train_images, test_mode=True, pipeline=test_pipeline),
)
# The annotations are those of the data that is measured.
val_evaluator = dict(type='cream_mm.CocoMetric', metric='bbox')
test_evaluator = dict(type='cream_mm.CocoMetric', metric='bbox')

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    type='cream_mm.SupernetTrainLoop',
    max_epochs=max_epochs,
    val_interval=4,
    sampler=dict(type='cream_mm.PathSampler'),  # uniform within the budget
)
# Each step's path and loss, from which the answer is read: path_log.jsonl.
default_hooks = dict(path_log=dict(type='cream_mm.PathLogHook'), checkpoint=dict(save_best=metric))
val_cfg = dict(type='cream_mm.SupernetValLoop')
test_cfg = dict(
    _delete_=True,
    type='cream_mm.SearchLoop',  # runs when the training ends
    metric=metric,
    bn_dataset=bn_set,
    num_random=20,
    num_images=1000,
    num_bn_images=500,
    next_steps=dict(detector='configs/retinanet_cream.py'),
)
# On several GPUs the gradients of the step's path are exchanged, not those of all paths.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_epochs, milestones=[27, 33], gamma=0.1),
]
