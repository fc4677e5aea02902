# Search a network of the size of cream-43m: its depths, 96 x 96 pixels, and its FLOPs at most.
#
#   python tools/train.py configs/cream/search_cream-43m.py --cfg-options data_root=FOLDER
#
# The depths are those of the published network. The released code cannot produce them itself: it
# derives depths from FLOPs bounds by a rule, and no bounds give these.
_base_ = './search_imagenet.py'

input_size = 96
budget = dict(_delete_=True, published_flops_m=(34, 43))  # millions, counted as the names do
model = dict(
    input_size=input_size, budget=budget, backbone=dict(space=dict(depths=(1, 2, 2, 3, 2)))
)

train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = input_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = round(input_size / 0.875)
test_pipeline[2].crop_size = input_size
train_set = dict(pipeline=train_pipeline)
held_out_set = val_set = dict(pipeline=test_pipeline)
train_dataloader = dict(dataset=train_set)
val_dataloader = test_dataloader = dict(dataset=held_out_set)
custom_hooks = _base_.custom_hooks
next(h for h in custom_hooks if 'dataset' in h).dataset.pipeline = test_pipeline
test_cfg = dict(
    bn_dataset=held_out_set, next_steps=dict(retrain='configs/cream/retrain_cream-43m.py')
)
