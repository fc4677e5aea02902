# NAO-V2's balanced training and latent search in Cream's space of MBConv blocks, for photographs
# and under a budget. An adaptation: the tokens are kernel and expansion of each layer, and paths
# outside of the budget are neither trained nor proposed. Else configs/spos/search_imagenet.py.
#
#   python tools/train.py configs/nao_v2/search_mbconv.py --cfg-options data_root=FOLDER \
#       input_size=64 budget.macs_m=[20,40] batch_size=64 max_epochs=60
#
# FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg; any number of classes. Photographs of 64
# pixels are for two CPU cores. Not run on ImageNet here.
_base_ = '../spos/search_imagenet.py'

phases = 4  # max_epochs is a multiple of it
train_cfg = dict(
    type='cream_mm.AlternatingLoop',
    phases=phases,
    num_new=100,  # paths of each pool after the first
    # Large networks are drawn more often; proportional_to=None draws all alike.
    sampler=dict(type='cream_mm.SizeProportionalSampler', pool_size=300),
    strategy=dict(type='cream_mm.NAOSearch', num_seeds=50, epochs=300),
)
test_cfg = dict(
    type='cream_mm.ArchiveRatingLoop',
    num_images=2000,  # all paths so far are rated after each phase
    num_bn_images=1024,
)
# Half a cosine in each phase, every iteration.
param_scheduler = [
    dict(type='cream_mm.CosinePhasesLR', phases=phases, eta_min=0, convert_to_iter_based=True)
]
