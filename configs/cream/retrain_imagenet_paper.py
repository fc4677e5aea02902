# Train one fixed network from scratch: what is known of the paper's recipe.
#
#   python tools/train.py configs/cream/retrain_imagenet_paper.py --cfg-options data_root=FOLDER \
#       model.backbone.arch=cream-114m input_size=160
#
# The released recipe (retrain_imagenet.py) is not the paper's: microsoft/Cream, issue 160.
#   Known: AutoAugment in place of RandAugment, and 16 GPUs x 128 = 2048 images per step.
#   Also said there: the paper does not mention random erasing. It stays here, as in the released
#     code; without it: --cfg-options train_dataloader.dataset.pipeline.4.erase_prob=0.0
#   Not known: which AutoAugment policy; this is mmpretrain's for ImageNet. The learning rate for
#     2048 images: the released 0.064 per step is kept. Whether the smallest networks had the
#     stepwise schedule of retrain_cream-14m.py and retrain_cream-43m.py: this is the cosine.
# Published top-1 for cream-287m: 77.6 %. Not reproduced here. With the released recipe and 2048
# images per step, the user of issue 160 reports 77.04.
_base_ = './retrain_imagenet.py'

train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(type='AutoAugment', policies='imagenet')  # was RandAugment
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# lr is for 16 x 128 images per step and is scaled to what you run.
auto_scale_lr = dict(base_batch_size=2048)
# As released, without a warm-up: not for runs of less than about 50,000 steps.
custom_hooks = [
    dict(type='cream_mm.EMAHook', ema_type='ExponentialMovingAverage', momentum=1e-4,
         update_buffers=True, priority='ABOVE_NORMAL'),
]  # fmt: skip
