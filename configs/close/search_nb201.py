# CLOSE on the cells of NAS-Bench-201: the edges of a cell share K banks of weights, a gate learns
# which edge uses which, and K grows from 1 to 5 while the supernet trains. The released recipe.
#
#   python tools/train.py configs/close/search_nb201.py --cfg-options data_root=data/cifar10
#
# data_root holds train/<class>/*.jpg; any number of classes. The answer is written to
# work_dirs/search_nb201/best_arch.json, a set of answers, small to large, to front.json. 1,000
# epochs of CIFAR-10 are for a GPU; for two CPU cores see search_nb201_cpu.py, on the method
# docs/close.md.
_base_ = '../spos/search_nb201.py'

model = dict(backbone=dict(router=dict(type='cream_mm.GATESRouter', num_banks=5)))

# Shares of max_epochs: of 1,000 epochs, one more bank at 201, 401, 601 and 801, which begins with
# the weights of the one before; optimizer and learning rate start again at 401.
custom_hooks = [
    dict(
        type='cream_mm.CurriculumHook',
        schedule=(0, 0.2, 0.4, 0.6, 0.8),
        restart_at=(0.4,),
    )
]
param_scheduler = [  # half, after 30 epochs in which the training loss was no better
    dict(type='cream_mm.TrainLossPlateauLR', factor=0.5, patience=30),
]
