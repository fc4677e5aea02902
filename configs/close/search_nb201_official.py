# CLOSE as its released code does it, where that differs from search_nb201.py: what is not chosen
# decays, ratings are drawn, and the gate's last layer stands still from a switch to a restart.
#
#   python tools/train.py configs/close/search_nb201_official.py \
#       --cfg-options data_root=data/cifar10
_base_ = './search_nb201.py'

model = dict(backbone=dict(unchosen='zero', router=dict(gumbel_eval=True)))
# Gradients of zero, as in the PyTorch of that time: weight decay and momentum move every bank that
# was trained once, whether a step uses it or not.
train_cfg = dict(zero_grad='zero')
custom_hooks = [
    dict(
        type='cream_mm.CurriculumHook',
        schedule=(0, 0.2, 0.4, 0.6, 0.8),
        restart_at=(0.4,),
        blind=True,
        keep_momentum=True,
    )
]
test_cfg = dict(num_images=None)  # all that were held out
