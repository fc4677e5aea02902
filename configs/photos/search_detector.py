# Search the backbone of a detector on a small set of photographs, by the detector's own loss and
# metric. It starts from EfficientNet-Lite0 with its ImageNet weights, in the light detector of
# detector.py beside this file.
#
#   python tools/train.py configs/photos/search_detector.py --cfg-options data_root=FOLDER \
#       budget.macs_m=[240,420]
#   python tools/export_arch.py work_dirs/search_detector/best_arch.json --out work_dirs/export
#   python tools/train.py work_dirs/export/retrain.py
#
# FOLDER is a set in the form of COCO, PASCAL VOC or YOLO, or with a CSV of boxes (docs/data.md).
# The detector is trained with the whole backbone first, then with slices of it, one a step: fewer
# channels, smaller kernels, fewer layers. 20 % of the training images are held out; they rate the
# slices. The validation set chooses nothing. docs/results/photos_detector.md has what it gained.
_base_ = './detector.py'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/cards/'
num_classes = 6  # taken from the annotations when they have others
scale = (288, 288)  # width and height that images are resized to fit into, in pixels
# Of the backbone alone, in millions of multiply-adds at `scale`; the whole Lite0 has 601. None: the
# front spans all that Lite0 offers, and the answer is its best.
budget = dict(macs_m=None)
# What slices are compared by. On easy sets such as cards, mAP50 is near 1 for all (0.95), and mAP
# still tells networks apart; on a hard set 'coco/bbox_mAP_50' has the smaller error.
metric = 'coco/bbox_mAP'
batch_size = 8
max_epochs = 36
min_steps = 800  # a set of few photographs gets more epochs, unless max_epochs is given
full_share = 0.5  # of max_epochs: the whole backbone; the rest is for its slices
holdout = 0.2
num_workers = 2
lr = 7e-4

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    backbone=dict(
        type='cream_mm.ElasticSupernet',
        expansions=(6, 4, 3, 2),
        kernels=(7, 5, 3),
        costs=dict(input_size=scale[::-1], head=None),  # height and width; the backbone alone
        budget=budget,
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
train_images = dict(
    type='cream_mm.CocoDataset',
    data_root=data_root,
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(
        _delete_=True,
        type='cream_mm.DatasetPart',
        part='train',
        holdout=holdout,
        dataset=dict(
            train_images,
            filter_cfg=dict(filter_empty_gt=False, min_size=8),  # images without a box, too
            pipeline=train_pipeline,
        ),
    ),
)
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
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
val_cfg = val_dataloader = val_evaluator = None  # the loop rates the whole backbone by itself
test_evaluator = dict(type='cream_mm.CocoMetric', metric='bbox')

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(
    _delete_=True,
    type='cream_mm.ElasticTrainLoop',
    max_epochs=max_epochs,
    full_share=full_share,
    paths='random',
    sampler=dict(type='cream_mm.CostPathSampler'),  # small and large ones alike
    stops=False,  # a detector whose slices are trained always falls behind what it was alone
)
default_hooks = dict(path_log=dict(type='cream_mm.PathLogHook'), checkpoint=dict(save_best=None))
test_cfg = dict(
    _delete_=True,
    type='cream_mm.SearchLoop',  # runs when the training ends
    metric=metric,
    strategy=dict(type='cream_mm.CombinedEffectsSearch'),
    num=32,
    num_random=0,
    bn_dataset=bn_set,
    num_images=500,
    num_bn_images=128,
    next_steps=dict(detector='configs/photos/detector.py'),
)
# On several GPUs the gradients of the step's path are exchanged, not those of all paths.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [  # a cosine for the whole backbone, another one for its slices
    dict(
        type='cream_mm.TwoCosinesLR',
        T_max=max_epochs,
        full_share=full_share,
        warmup_epochs=1.5,
        second=0.5,
        convert_to_iter_based=True,
    )
]
