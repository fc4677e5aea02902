"""The accuracy of one path, counted by hand."""

import pytest
import torch
from test_supernet_train_loop import build, data  # noqa: F401

from cream_mm.engine.loops.supernet_val_loop import FAR_STEP
from cream_mm.search import PathSampler


def by_hand(model, arch, batches):
    """Top-1 in percent of a copy of the path, normalised by each batch's own statistics."""
    net = model.backbone.export(arch).train()
    hits = total = 0
    for batch in batches:
        batch = model.data_preprocessor(batch)
        labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        hits += int((model.head(net(batch['inputs'])).argmax(1) == labels).sum())
        total += len(labels)
    return 100 * hits / total


@torch.no_grad()
@pytest.mark.parametrize('seed', [3, 4])
def test_a_fixed_path_with_the_statistics_of_each_batch(data, tmp_path, seed):  # noqa: F811
    runner = build(data, tmp_path, randomness=dict(seed=seed))
    loop, model = runner.val_loop, runner.model
    model.init_weights()
    runner.call_hook = lambda *args, **kwargs: None  # none of a training
    supernet, before = model.backbone, model.backbone.arch
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    batches = list(loop.dataloader)  # the same each time
    arch = PathSampler(supernet.space, supernet.budget, seed=runner.seed).sample(FAR_STEP)
    model.eval()
    expected = by_hand(model, arch, batches)
    assert loop.run()['accuracy/top1'] == pytest.approx(expected)
    assert supernet.arch == before
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())

    # A model that knows better says which.
    other = supernet.space.decode([1] * supernet.space.num_layers)
    model.path_to_validate = lambda: other
    assert other != arch
    assert loop.run()['accuracy/top1'] == pytest.approx(by_hand(model, other, batches))


@torch.no_grad()
@pytest.mark.parametrize('size', [1, 11])
def test_no_batch_of_a_single_image(data, tmp_path, size):  # noqa: F811
    """At 1x1 pixel batch norm would refuse it; each of the 12 images counts all the same."""
    runner = build(data, tmp_path, randomness=dict(seed=3))
    loader = dict(runner._val_dataloader, batch_size=size)
    dataset = dict(loader['dataset'])
    resize = dict(type='Resize', scale=(2, 2))  # the stages halve it once
    dataset['pipeline'] = [dataset['pipeline'][0], resize, dataset['pipeline'][1]]
    runner._val_dataloader = dict(loader, dataset=dataset)
    loop, model = runner.val_loop, runner.model
    model.init_weights()
    runner.call_hook = lambda *args, **kwargs: None
    batches = list(loop.dataloader)
    assert [len(batch['inputs']) for batch in batches] == ([2] * 6 if size == 1 else [12])
    arch = PathSampler(model.backbone.space, model.backbone.budget, seed=runner.seed).sample(
        FAR_STEP
    )
    with model.backbone.using(arch), pytest.raises(ValueError, match='more than 1 value'):
        model.train()(torch.zeros(1, 3, 2, 2))
    model.eval()
    assert loop.run()['accuracy/top1'] == pytest.approx(by_hand(model, arch, batches))


@torch.no_grad()
def test_a_set_of_one_image_takes_the_running_statistics(data, tmp_path):  # noqa: F811
    runner = build(data, tmp_path, randomness=dict(seed=3))
    loader = runner._val_dataloader
    runner._val_dataloader = dict(loader, dataset=dict(loader['dataset'], indices=[5]))
    loop, model = runner.val_loop, runner.model
    model.init_weights()
    runner.call_hook = lambda *args, **kwargs: None
    arch = PathSampler(model.backbone.space, model.backbone.budget, seed=runner.seed).sample(
        FAR_STEP
    )
    model.eval()
    (batch,) = loop.dataloader
    with model.backbone.using(arch):
        label = model(**model.data_preprocessor(batch), mode='tensor').argmax()
    right = float(label == batch['data_samples'][0].gt_label)
    assert loop.run()['accuracy/top1'] == 100 * right


def test_raw_and_averaged_weights_are_measured_alike(data, tmp_path):  # noqa: F811
    """As long as both are the same, so are their losses of a batch: both have its statistics."""
    hook = dict(type='cream_mm.EMAHook', priority='ABOVE_NORMAL')
    runner = build(data, tmp_path, randomness=dict(seed=3), custom_hooks=[hook])
    seen = []
    step = runner.model.val_step
    runner.model.val_step = lambda batch: seen.append(step(batch)) or seen[-1]
    found = runner.val()
    half = len(seen) // 2
    scores = [torch.stack([s.pred_score for batch in part for s in batch])
              for part in (seen[:half], seen[half:])]  # fmt: skip
    assert half == 3 and torch.equal(*(part.sum(0) for part in scores))
    assert found['raw_accuracy/top1'] == found['accuracy/top1']
