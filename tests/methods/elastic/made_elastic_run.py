"""A small elastic search of generated images."""

from mmengine.config import Config

from cream_mm.testing import tiny_space

STEPS = 7  # of an epoch


def elastic_cfg(data, work_dir, *, lr=0.02, second=1.0, max_epochs=4, **train_cfg):
    """Two epochs of the full network and two of its slices; 9 images a class, 3 held out."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    backbone = dict(
        type='cream_mm.ElasticSupernet', arch=[[0], [1, 0], [0, 1], [0]],
        space=tiny_space().to_dict(), expansions=(6, 4, 2), kernels=(5, 3), input_sizes=(8, 6),
        costs=dict(input_size=8, num_classes=3, head_channels=16),
    )  # fmt: skip
    head = dict(
        type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16, dropout=0.1
    )
    train_cfg = {'full_share': 0.5, **train_cfg}
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='cream_mm.DistilledClassifier', backbone=backbone, head=head,
                data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
            ),
            work_dir=str(work_dir),
            train_dataloader=dict(
                batch_size=4, num_workers=0, dataset=train,
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            test_dataloader=dict(
                batch_size=8, num_workers=0, dataset=held_out,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            train_cfg=dict(type='cream_mm.ElasticTrainLoop', max_epochs=max_epochs, **train_cfg),
            test_cfg=dict(
                type='cream_mm.SearchLoop', bn_dataset=train, num=3, num_random=1, num_bn_images=8
            ),
            test_evaluator=[],
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=lr, weight_decay=0.02)),
            param_scheduler=[
                dict(type='cream_mm.TwoCosinesLR', T_max=max_epochs, second=second,
                     full_share=train_cfg['full_share'], convert_to_iter_based=True)
            ],
            default_hooks=dict(
                path_log=dict(type='cream_mm.PathLogHook'),
                logger=dict(type='LoggerHook', interval=2),
                checkpoint=dict(type='cream_mm.CheckpointHook', interval=1, max_keep_ckpts=2),
            ),
            runner_type='cream_mm.Runner',
            randomness=dict(seed=3),
            log_level='WARNING',
            experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
        )
    )  # fmt: skip
