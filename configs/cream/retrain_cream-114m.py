# Retrain cream-114m at 160 x 160 pixels: the released recipe.
#
#   python tools/train.py configs/cream/retrain_cream-114m.py --cfg-options data_root=FOLDER
#
# Published top-1: 72.8 %. Not reproduced here.
_base_ = './retrain_imagenet.py'

model = dict(backbone=dict(arch='cream-114m'))

input_size = 160
train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = input_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = round(input_size / 0.875)
test_pipeline[2].crop_size = input_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
