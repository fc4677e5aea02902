# FCOS with cream-287m on COCO, 1x schedule, 8 GPUs x 2 images.
#
#   torchrun --nproc_per_node=8 tools/train.py \
#       configs/detection/fcos_cream-287m_fpn_1x_coco.py --launcher pytorch --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
#       model.backbone.init_cfg.checkpoint=cream-287m.pth
#
# The head is that of mmdet's fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco;
# images are normalised as for the backbone's classifier, not in Caffe's way. Data and schedule are
# those of ../retinanet_cream.py. No published result is known, and none was measured here.
_base_ = '../retinanet_cream.py'

model = dict(
    type='FCOS',
    neck=dict(add_extra_convs='on_output', relu_before_extra_convs=True),
    bbox_head=dict(
        _delete_=True,
        type='FCOSHead',  # group norm with 32 groups, its default
        num_classes=_base_.num_classes,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        strides=[8, 16, 32, 64, 128],
        # What the official repository does beyond the paper, like the GIoU loss below.
        center_sampling=True,  # only points near the middle of a box are positive
        norm_on_bbox=True,  # distances in units of the stride
        centerness_on_reg=True,  # centerness is read from the regression branch
        conv_bias=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=None,  # no anchors to assign
    test_cfg=dict(nms=dict(iou_threshold=0.6)),
)

# Half of RetinaNet's rate, twice the rate for biases: FCOS's own settings at 16 images.
optim_wrapper = dict(
    optimizer=dict(lr=0.01), paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0)
)
