"""The wrapper in one process; test_distributed.py has two."""

import numpy as np
import pytest
import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS

from cream_mm.engine import PathDataParallel, path_data_parallel
from cream_mm.engine.distributed import unwrap
from cream_mm.methods.cream.meta_matching import path_and_head
from cream_mm.testing import tiny_cream, tiny_samples


def make():
    torch.manual_seed(0)
    return tiny_cream(data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3)).train()


def wrapper_of(model, counts):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wrapper = OptimWrapper(optimizer, accumulative_counts=counts)
    wrapper.initialize_count_status(model, 0, 4)
    return wrapper


def batch(step):
    rng = torch.Generator().manual_seed(step)
    inputs = list(torch.randint(0, 256, (6, 3, 8, 8), generator=rng, dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=tiny_samples([0, 1, 2, 0, 1, 2]))


@pytest.mark.parametrize('counts', [1, 2])
def test_it_trains_as_the_model_alone(counts, monkeypatch):
    plain, inner = make(), make()
    wrapped = MODEL_WRAPPERS.build(dict(type='cream_mm.PathDataParallel', module=inner))
    assert type(wrapped) is PathDataParallel and is_model_wrapper(wrapped)
    assert unwrap(wrapped) is inner
    messages = []
    monkeypatch.setattr(
        path_data_parallel, 'all_reduce_params',
        lambda grads, op: messages.append((op, sum(g.numel() for g in grads))),
    )  # fmt: skip
    optimizers = wrapper_of(plain, counts), wrapper_of(wrapped, counts)
    sizes = []
    for step in range(4):
        for model in (plain, inner):
            model.backbone.set_arch(model.backbone.space.sample(np.random.default_rng(step)))
        sizes.append({n: p.numel() for n, p in path_and_head(inner).items()})
        logs = [m.train_step(batch(step), o) for m, o in zip((plain, wrapped), optimizers)]
        assert float(logs[0]['loss']) == float(logs[1]['loss'])
    assert all(torch.equal(v, inner.state_dict()[k]) for k, v in plain.state_dict().items())
    # One message a step, of the gradients of the path and the head; of all paths since the last.
    expected = []
    for start in range(0, 4, counts):
        union = {}
        for part in sizes[start : start + counts]:
            union.update(part)
        expected.append(('mean', sum(union.values())))
    assert messages == expected
    assert messages[0][1] < sum(p.numel() for p in inner.backbone.parameters())


def test_testing_and_validating_is_the_model_alone():
    model = make().eval()
    wrapped = PathDataParallel(model)
    for step in (wrapped.test_step, wrapped.val_step):
        ours = [s.pred_score for s in step(batch(0))]
        theirs = [s.pred_score for s in model.test_step(batch(0))]
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
