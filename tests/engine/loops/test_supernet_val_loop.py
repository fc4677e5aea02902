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
