# Retrain cream-604m at 224 x 224 pixels: the released recipe.
#
#   python tools/train.py configs/cream/retrain_cream-604m.py --cfg-options data_root=FOLDER
#
# Published top-1: 80.0 %. Not reproduced here.
_base_ = './retrain_imagenet.py'

model = dict(backbone=dict(arch='cream-604m'))
