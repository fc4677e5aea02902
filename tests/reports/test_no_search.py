"""What a report says of a folder that holds no search."""

import pytest

from cream_mm.reports.no_search import instead_of_search
from cream_mm.reports.search_report import SearchReport

DETECTOR = "model = dict(type='RetinaNet', bbox_head=dict(num_classes=2))\ntest_cfg = dict()\n"


def test_a_training_is_told_what_there_is_to_see(tmp_path):
    assert instead_of_search(tmp_path) is None
    config = tmp_path / 'a.py'
    config.write_text(DETECTOR)
    with pytest.raises(FileNotFoundError, match='training of a detector.*test.py .* --show-dir'):
        SearchReport(tmp_path)
    config.write_text("model = dict(type='ImageClassifier', head=dict(num_classes=2))\n")
    assert 'a training and no search, and no errors.json' in instead_of_search(tmp_path)
    config.write_text(DETECTOR.replace('test_cfg = dict()', 'test_cfg = dict(bn_dataset=dict())'))
    with pytest.raises(FileNotFoundError, match='A search writes it when it ends'):
        SearchReport(tmp_path)
