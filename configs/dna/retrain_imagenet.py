# Train one fixed network of DNA's space from scratch: the released recipe.
#
#   python tools/train.py configs/dna/retrain_imagenet.py --cfg-options \
#       model.backbone.arch=work_dirs/search_imagenet/best_arch.json data_root=FOLDER
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes.
# 8 GPUs x 128, 500 epochs. retrain_dna-*.py are the four published networks. Weights of the search
# are of no use here: its blocks have the teacher's widths at their ends.
# Published top-1: 77.1 (dna-a), 77.5, 77.8, 78.4 % (dna-d). Not run on ImageNet here. Users of the
# released code report 76.31, 76.64, 77.21 and 77.72 with it, and 76.09 for dna-a with 4096 images
# and lr 0.256 (changlin31/DNA, issues 26, 10, 7); its authors name 78.1 (dna-c) and 78.9 (dna-d)
# with RandAugment, random erasing and more colour jitter besides: the pipeline of
# ../cream/retrain_imagenet.py.
_base_ = '../cream/retrain_imagenet.py'

input_size = 224
max_epochs = 500

model = dict(
    backbone=dict(
        arch='dna-c',  # a published name, an exported .json, or a nested list with its `space`
        drop_path_rate=0.2,  # of the last block; less before it, none of the first
        # EfficientNet's, but of N(0, 2 / (k k out)) for depthwise convolutions, too.
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
    ),
    # The conv1x1 to 1280 channels is the backbone's last block here.
    head=dict(in_channels=1280, hidden_channels=None, dropout=0.2),
)

train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.06, contrast=0.06, saturation=0.06),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=max_epochs)
# On weights of convolutions and the classifier alone, as in the released search and in timm.
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [  # the steps count from epoch 0, so that the first after the warm-up is at 6
    dict(
        type='cream_mm.WarmupStepLR', warmup_epochs=5, warmup_lr=1e-4, decay_epochs=3, gamma=0.963
    ),
]
# Released: m = 0.0002 from the first step on. Here after step n m = max(0.0002, 10 / (10 + n)), as
# ../cream/retrain_imagenet.py says; from step 49,990 of 625,500 on it is the released one.
custom_hooks = [
    dict(type='cream_mm.EMAHook', momentum=2e-4, gamma=10, update_buffers=True,
         priority='ABOVE_NORMAL'),
]  # fmt: skip
