"""What the hook takes of a batch; its runs are in tests/engine and tests/methods/cream."""

from types import SimpleNamespace

import pytest
import torch

from cream_mm.methods.cream.meta_matching_hook import MetaMatchingHook
from cream_mm.testing import tiny_cream, tiny_samples


class Held(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return dict(
            inputs=torch.zeros(3, 8, 8, dtype=torch.uint8), data_samples=tiny_samples([1])[0]
        )


@pytest.mark.parametrize('compat', ['fixed', 'official'])
def test_the_batch_is_left_to_the_training(compat):
    """A preprocessor puts its labels on its device into the samples themselves: of all or none."""
    model = tiny_cream(compat=compat)
    hook = MetaMatchingHook(num_images=2)
    hook.dataset = Held()
    samples = tiny_samples([0, 1, 2, 1])
    labels = [sample.gt_label for sample in samples]
    inputs = list(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    batch = dict(inputs=inputs, data_samples=samples)
    train, val = hook._images(SimpleNamespace(seed=0, iter=3), model, batch)
    assert len(train['inputs']) == len(val['inputs']) == len(val['data_samples']) == 2
    expected = [2, 1] if compat == 'official' else [1, 1]
    assert [int(sample.gt_label) for sample in val['data_samples']] == expected
    assert all(sample.gt_label is label for sample, label in zip(samples, labels))
    assert batch['inputs'] is inputs and len(inputs) == 4
