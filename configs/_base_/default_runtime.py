# What every run shares. cream_mm's types are written with their scope: type='cream_mm.X'.
custom_imports = dict(imports=['cream_mm'])
runner_type = 'cream_mm.Runner'  # resumes exactly; brings cream_mm.SeedHook

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='cream_mm.CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    finite_loss=dict(type='cream_mm.FiniteLossHook', action='stop'),  # or 'skip': leave steps out
    norm_stats=dict(type='cream_mm.NormStatsHook'),  # of batch norm, the same on every rank
    label_range=dict(type='cream_mm.LabelRangeHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
