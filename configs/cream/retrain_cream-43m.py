# Retrain cream-43m at 96 x 96 pixels: the released recipe, with a stepwise schedule of 500 epochs.
#
#   python tools/train.py configs/cream/retrain_cream-43m.py --cfg-options data_root=FOLDER
#
# Published top-1: 66.3 %. Not reproduced here.
_base_ = './retrain_imagenet.py'

model = dict(backbone=dict(arch='cream-43m'))

input_size = 96
train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = input_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = round(input_size / 0.875)
test_pipeline[2].crop_size = input_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 500
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type='cream_mm.WarmupStepLR', warmup_epochs=3, warmup_lr=1e-6, decay_epochs=2.4, gamma=0.973
    ),
]
