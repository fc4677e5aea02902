# Search a backbone block by block, with EfficientNet-B7 as the teacher: the released recipe of DNA
# (CVPR 2020). 8 GPUs x 64 images, 20 epochs; labels are not read.
#
#   python tools/train.py configs/dna/search_imagenet.py --cfg-options data_root=FOLDER \
#       teacher_weights=FILE budget.macs_m=[0,350]
#
# FILE is efficientnet-b7_3rdparty_8xb32-aa_in1k_20220119-bf03951c.pth of mmpretrain's model zoo
# (https://mmassets.onedl.ai/mmclassification/v0/efficientnet/). FOLDER holds train/, images at any
# depth. One block per machine: model.blocks=[1], model.blocks=[2], ...; then
# tools/test.py CONFIG CHECKPOINT --cfg-options test_cfg.tables=[DIR,DIR,...] joins what they rated.
# search_imagenet_official.py follows the released code to the letter. Not run on ImageNet here.
_base_ = './search_lite.py'

data_root = 'data/imagenet'
teacher_weights = 'data/efficientnet-b7_3rdparty_8xb32-aa_in1k_20220119-bf03951c.pth'
input_size = 224  # the teacher's maps at 224, too, where it was trained at 600
budget = dict(macs_m=(0, 400))
batch_size = 64  # per GPU; 8 GPUs
num_workers = 8
mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

model = dict(
    teacher=dict(
        backbone=dict(
            _delete_=True,
            type='mmpretrain.EfficientNet',
            arch='b7',
            init_cfg=dict(type='Pretrained', checkpoint=teacher_weights, prefix='backbone.'),
        ),
        # The last layer of each of the six stages: mmpretrain has two of them in one, twice.
        taps=[('layers.2', 6), ('layers.3', 6), ('layers.4', 9), ('layers.4', 19),
              ('layers.5', 12), ('layers.5', 16)],
        # By the statistics of each batch, as at another size than it was trained at.
        mode='batch_stats',
    ),
    data_preprocessor=dict(mean=mean, std=std),
)  # fmt: skip

train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    # Released: N(0, 1) after normalisation; here the same before it, in uint8, as in
    # configs/cream/retrain_imagenet.py.
    dict(
        type='RandomErasing',
        erase_prob=0.5,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        aspect_range=(0.3, 1 / 0.3),
        fill_color=mean[::-1],
        fill_std=std[::-1],
    ),
    dict(type='PackInputs'),
]
train_set = dict(data_root=data_root, pipeline=train_pipeline)
held_out_set = dict(data_root=data_root)
train_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=train_set)
test_dataloader = dict(num_workers=num_workers, dataset=dict(data_root=data_root))
test_cfg = dict(
    # Batch norm is fitted to a batch of training images, augmented as in the training.
    bn_dataset=dict(data_root=data_root, pipeline=train_pipeline),
    num_images=1216,  # 19 batches
    num_bn_images=64,
    next_steps=dict(retrain='configs/dna/retrain_imagenet.py'),
)
