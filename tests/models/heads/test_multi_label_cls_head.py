import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from cream_mm.models import CreamClsHead, CreamMultiLabelClsHead


@pytest.fixture
def samples():
    labels = torch.tensor([0, 2]), torch.zeros(0, dtype=torch.long)
    return [DataSample().set_gt_label(label) for label in labels]


def test_the_loss_is_the_binary_cross_entropy_summed_over_labels(samples):
    head = CreamMultiLabelClsHead(3, 8, hidden_channels=4)
    maps = (torch.randn(2, 8, 3, 3),)
    target = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    logits = head(maps)
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction='sum') / 2
    torch.testing.assert_close(head.loss(maps, samples)['loss'], expected)
    torch.testing.assert_close(head.loss_by_logits(logits, samples), expected)


def test_predictions_are_the_labels_above_the_threshold():
    head = CreamMultiLabelClsHead(3, 8, hidden_channels=0, thr=0.6)
    torch.nn.init.zeros_(head.classifier.weight)
    head.classifier.bias.data = torch.tensor([1.0, 0.0, -1.0])  # 0.73, 0.5, 0.27
    (sample,) = head.predict((torch.rand(1, 8, 2, 2),))
    torch.testing.assert_close(sample.pred_score, torch.tensor([1.0, 0.0, -1.0]).sigmoid())
    assert sample.pred_label.tolist() == [0]


def test_its_weights_are_those_of_the_head_of_one_label():
    one, several = (
        cls(5, 24, hidden_channels=16) for cls in (CreamClsHead, CreamMultiLabelClsHead)
    )
    several.load_state_dict(one.state_dict())
    maps = (torch.rand(2, 24, 3, 3),)
    torch.testing.assert_close(several(maps), one(maps))
