# Cream's search as the released code runs it, defects included: for comparison with it.
#
#   torchrun --nproc_per_node=8 tools/train.py configs/cream/search_imagenet_official.py \
#       --launcher pytorch --cfg-options data_root=FOLDER
#
# docs/cream.md lists what compat='official' means, option by option. Schedule, augmentation and
# batch are those of the base, which has them from the released code too.
_base_ = './search_imagenet.py'

# Samples uniformly: the op_prob of the base has no effect. The budget is not enforced while the
# supernet trains; the answer at the end obeys it.
model = dict(compat='official', side_precision='float32')
# Every image is trained on. The rating at the end, which the released code does not have, is
# therefore a rating on training images.
train_dataloader = dict(dataset=dict(part='all'), drop_last=True)  # 1251 steps an epoch
test_cfg = dict(bn_dataset=dict(part='all'))

custom_hooks = [
    dict(type='cream_mm.BoardHook', warmup=0.175),
    dict(type='cream_mm.MetaMatchingHook', interval=200, num_images=4),  # no set of its own
]
# The matching network is trained by the main optimizer, with a learning rate of 1e-4.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'matching': dict(lr_mult=1e-4, decay_mult=0.0)})
)
# 1 - t / 150,000 for the steps of 120 epochs of ImageNet, whose last 120 have a rate of 0. With
# other data, or epochs, set param_scheduler.0.end to the number of steps + 1.
param_scheduler = [dict(type='LinearLR', start_factor=1.0, end_factor=0.0, by_epoch=False,
                        begin=0, end=150001)]  # fmt: skip
