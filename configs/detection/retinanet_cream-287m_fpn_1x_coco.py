# RetinaNet with cream-287m (Cream-S) on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/retinanet_cream-287m_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=cream-287m.pth
#
# Published for Cream-S in RetinaNet: 33.2 AP (docs/model_zoo.md). The recipe of that number was not
# released, so this one may differ from it. Not reproduced here.
_base_ = '../retinanet_cream.py'

model = dict(backbone=dict(arch='cream-287m'))
