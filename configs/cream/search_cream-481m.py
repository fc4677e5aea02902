# Search a network of the size of cream-481m: its depths, 224 x 224 pixels, and its FLOPs at most.
#
#   python tools/train.py configs/cream/search_cream-481m.py --cfg-options data_root=FOLDER
#
# The depths are those of the published network. It was searched with 4, 4, 4, 4, 4, which the
# released code can produce; the builder of that time then repeated the last layer of stage 3.
_base_ = './search_imagenet.py'

budget = dict(_delete_=True, published_flops_m=(385, 482))  # millions, counted as the names do
model = dict(budget=budget, backbone=dict(space=dict(depths=(4, 4, 5, 4, 4))))
test_cfg = dict(next_steps=dict(retrain='configs/cream/retrain_cream-481m.py'))
