# Cream's search by the rules of the paper, with the settings of the authors' first release, the
# code nearest in time to the paper's experiments.
#
#   torchrun --nproc_per_node=8 tools/train.py configs/cream/search_imagenet_paper.py \
#       --launcher pytorch --cfg-options data_root=FOLDER
#
# docs/cream.md lists what compat='paper' means, option by option. Against search_imagenet.py:
# half the learning rate, a hundred times the matching network's, weaker augmentation.
_base_ = './search_imagenet.py'

model = dict(compat='paper', side_precision='float32')

train_pipeline = [
    dict(type='cream_mm.LoadImage'),
    dict(type='cream_mm.RandomResizedCrop', scale=_base_.input_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.06, contrast=0.06, saturation=0.06),
    dict(type='PackInputs'),
]
# Every image is trained on; the rating at the end, which the authors' code does not have, is
# therefore a rating on training images.
train_dataloader = dict(dataset=dict(part='all', pipeline=train_pipeline), drop_last=True)
test_cfg = dict(bn_dataset=dict(part='all'))

custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.175),
    dict(
        type='cream_mm.MetaMatchingHook',
        interval=200,
        num_images=4,  # its held-out images are the next four of the training batch
        optimizer=dict(type='SGD', lr=1e-2, momentum=0.9, nesterov=True),
    ),
]
optim_wrapper = dict(optimizer=dict(lr=0.5))
