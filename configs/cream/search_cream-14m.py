# Search a network of the size of cream-14m: its depths, 64 x 64 pixels, and its FLOPs at most.
#
#   python tools/train.py configs/cream/search_cream-14m.py --cfg-options data_root=FOLDER
#
# The depths are those of the published network. The released code cannot produce them itself: it
# derives depths from FLOPs bounds by a rule, and no bounds give these.
_base_ = './search_imagenet.py'
from cream_mm.config import set_values

set_values(_base_, input_size=64)
budget = dict(_delete_=True, published_flops_m=(11, 14))  # millions, counted as the names do
model = dict(budget=budget, backbone=dict(space=dict(depths=(1, 2, 2, 1, 1))))
test_cfg = dict(next_steps=dict(retrain='configs/cream/retrain_cream-14m.py'))
