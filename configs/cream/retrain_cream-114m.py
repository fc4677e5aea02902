# Retrain cream-114m at 160 x 160 pixels: the released recipe.
#
#   python tools/train.py configs/cream/retrain_cream-114m.py --cfg-options data_root=FOLDER
#
# Published top-1: 72.8 %. Not reproduced here.
_base_ = './retrain_imagenet.py'
from cream_mm.config import set_values

set_values(_base_, input_size=160)
model = dict(backbone=dict(arch='cream-114m'))
