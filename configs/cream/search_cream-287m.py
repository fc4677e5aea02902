# Search a network of the size of cream-287m: its depths, 224 x 224 pixels, and its FLOPs at most.
#
#   python tools/train.py configs/cream/search_cream-287m.py --cfg-options data_root=FOLDER
#
# The depths are those of the published network. The released code cannot produce them itself: it
# derives depths from FLOPs bounds by a rule, and no bounds give these.
_base_ = './search_imagenet.py'

budget = dict(_delete_=True, published_flops_m=(230, 287.5))  # millions, counted as the names do
model = dict(budget=budget, backbone=dict(space=dict(depths=(1, 2, 3, 4, 3))))
test_cfg = dict(next_steps=dict(retrain='configs/cream/retrain_cream-287m.py'))
