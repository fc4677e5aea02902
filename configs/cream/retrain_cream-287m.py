# Retrain cream-287m at 224 x 224 pixels: the released recipe.
#
#   python tools/train.py configs/cream/retrain_cream-287m.py --cfg-options data_root=FOLDER
#
# Published top-1: 77.6 %. Not reproduced here.
_base_ = './retrain_imagenet.py'

model = dict(backbone=dict(arch='cream-287m'))
