"""A small search in phases, from its config to its end."""

import json

from mmengine.config import Config
from mmengine.hooks import Hook

PHASES, EPOCHS, POOL, NEW = 3, 6, 6, 4
LAST = f'epoch_{EPOCHS}.pth'
STRATEGIES = dict(
    evolution=dict(type='cream_mm.RegularizedEvolution', population=6, tournament=3),
    nao=dict(type='cream_mm.NAOSearch', num_seeds=4, epochs=12, expand=2),
)


def nao_search(data, work_dir, strategy='nao', **options):
    """Three phases of two epochs."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    loader = dict(num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True))
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='cream_mm.NASBench201Supernet',
                space=dict(channels=4, num_cells=1),
                costs=dict(input_size=8, num_classes=3, head_channels=0),
            ),
            head=dict(
                type='cream_mm.CreamClsHead', num_classes=3, in_channels=16, hidden_channels=None
            ),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, batch_size=5, dataset=train),
        train_cfg=dict(
            type='cream_mm.AlternatingLoop', max_epochs=EPOCHS, phases=PHASES, num_new=NEW,
            strategy=STRATEGIES[strategy],
            sampler=dict(type='cream_mm.SizeProportionalSampler', pool_size=POOL),
        ),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=3e-4),
        ),
        param_scheduler=dict(type='cream_mm.CosinePhasesLR', phases=PHASES, eta_min=0.01),
        default_hooks=dict(
            path_log=dict(type='cream_mm.PathLogHook'), logger=dict(type='LoggerHook', interval=1)
        ),
        test_dataloader=dict(
            num_workers=0, batch_size=8, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=held_out,
        ),
        test_cfg=dict(
            type='cream_mm.ArchiveRatingLoop', bn_policy='batch_stats', bn_dataset=train,
            num_random=2,
        ),
        test_evaluator=dict(type='Accuracy', topk=(1,)),
        visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
    )  # fmt: skip
    cfg = Config(cfg)
    cfg.merge_from_dict(options)
    return cfg


class Record(Hook):
    """What each step ran with."""

    priority = 'LOWEST'

    def __init__(self):
        self.steps, self.pools = [], []

    def before_train_iter(self, runner, *args, **kwargs):
        lr = runner.optim_wrapper.param_groups[0]['lr']
        self.steps.append((runner.train_loop.supernet.arch, lr))

    def before_train_epoch(self, runner):
        self.pools.append(runner.train_loop.sampler.pool)


def ratings_of(folder):
    """Lines of ``ratings.jsonl``."""
    return [json.loads(line) for line in (folder / 'ratings.jsonl').read_text().splitlines()]
