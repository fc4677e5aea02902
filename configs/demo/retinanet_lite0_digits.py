# The demo's detector around the network that its second search found, from ImageNet weights.
#
#   python tools/train.py configs/demo/retinanet_lite0_digits.py --work-dir work_dirs/demo/retinanet
#
# Neck, heads and data are those of retinanet_digits.py beside this file, which takes the backbone
# of the first search; the epochs are fewer.
_base_ = './retinanet_digits.py'

max_epochs = 5

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # as Lite0's weights take images
    backbone=dict(
        arch='work_dirs/demo/lite0_export/arch.json',
        space=None,  # comes with the architecture
        init_cfg=dict(checkpoint='work_dirs/demo/finetune/epoch_4.pth'),
    ),
    neck=dict(in_channels=[40, 112]),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', eta_min=4e-5, begin=0, end=max_epochs,
         convert_to_iter_based=True),
]  # fmt: skip
