# Retrain cream-43m at 96 x 96 pixels: the released recipe, with a stepwise schedule of 500 epochs.
#
#   python tools/train.py configs/cream/retrain_cream-43m.py --cfg-options data_root=FOLDER
#
# Published top-1: 66.3 %. Not reproduced here.
_base_ = './retrain_imagenet.py'
from cream_mm.config import set_values

set_values(_base_, input_size=96)
model = dict(backbone=dict(arch='cream-43m'))

max_epochs = 500
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type='cream_mm.WarmupStepLR', warmup_epochs=3, warmup_lr=1e-6, decay_epochs=2.4, gamma=0.973
    ),
]
