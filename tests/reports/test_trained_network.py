"""A retraining of another network than the answer is not taken for the answer's."""

import json

import pytest
from made_run import ARCH, best_arch, front, retrain_dir, search_dir, text_of  # noqa: F401

from cream_mm.files import write_json
from cream_mm.reports.search_report import SearchReport
from cream_mm.reports.trained_network import other_network, other_set

FIRST = front()['steps'][0]['arch']  # 7.5 M


def trained(folder, arch, size=28, space=None):
    backbone = dict(type='cream_mm.CreamNet', arch=arch, space=space)
    text = f'input_size = {size}\nmodel = dict(backbone={backbone!r})\n'
    folder.mkdir(exist_ok=True)
    (folder / 'retrain.py').write_text(text)
    return folder


@pytest.mark.parametrize(
    'arch, words',
    [
        (ARCH, None),
        ('arch.json', None),  # says nothing
        (FIRST, 'another network of the front, 7.50 M multiply-adds'),
        ([[0], [9, 9], [9], [0]], 'a network that this search did not answer with'),
    ],
)
def test_which_network_was_trained(tmp_path, arch, words):
    assert other_network(trained(tmp_path, arch), best_arch(), front()['steps']) == words
    assert other_network(tmp_path / 'none', best_arch(), []) is None


def test_the_same_layers_on_smaller_images_are_another_network(tmp_path):
    answer = dict(best_arch(), input_size=[28, 28])
    step = dict(answer, input_size=[20, 20], costs=dict(macs_m=5.0))
    assert other_network(trained(tmp_path, ARCH, 28), answer, [step]) is None
    said = other_network(trained(tmp_path, ARCH, 20), answer, [step])
    assert said == 'another network of the front, 5.00 M multiply-adds at 20×20 pixels'
    # Where no other answer has these layers, a larger size is a setting of the retraining.
    assert other_network(trained(tmp_path, ARCH, 20), answer, []) is None
    wider = trained(tmp_path, ARCH, 28, dict(widths=[32, 48]))
    assert other_network(wider, dict(answer, space=dict(widths=[24, 40])), []) is not None


def test_the_page_does_not_give_its_accuracy_to_the_answer(search_dir, retrain_dir):  # noqa: F811
    for path in retrain_dir.glob('*.py'):
        path.unlink()
    trained(retrain_dir, FIRST)
    write_json(search_dir / 'front.json', json.loads(json.dumps(front())))
    report = SearchReport(search_dir, retrain_dir=retrain_dir)
    text = text_of(report.to_html())
    assert '98.5 % retrained' not in text and 'Retrained top-1' not in report.summary()
    assert 'not the chosen one: another network of the front, 7.50 M multiply-adds' in text
    assert (
        'What was retrained is another network of the front, 7.50 M multiply-adds: it reaches '
        '98.5 % top-1 (best epoch 98.8 %).'
    ) in text
    assert 'What became of the other network: validation after each epoch.' in text
    report.retrain_curve = report.retrain_curve[-1:]
    assert report.summary().endswith('Another one retrained  98.5 %')


def test_a_detector_of_another_backbone_and_set_is_not_credited_to_the_answer(search_dir, tmp_path):  # noqa: F811
    answer = dict(best_arch(), task='detection', data_root='data/voc/', scale=[128, 128])
    write_json(search_dir / 'best_arch.json', answer)
    folder = trained(tmp_path / 'detector', [[0], [9, 9], [9], [0]])
    with open(folder / 'retrain.py', 'a') as file:
        file.write("data_root = 'data/voc'\nscale = (128, 128)\n")
    assert other_set(folder, answer) is None
    with open(folder / 'retrain.py', 'a') as file:
        file.write("data_root = 'data/yolo/'\nscale = (160, 160)\n")
    said = 'data/yolo at 160×160, and searched on data/voc at 128×128'
    assert other_set(folder, answer) == said
    assert other_set(folder, dict(answer, task='classification')) is None
    (folder / '20260101_000000/vis_data').mkdir(parents=True)
    (folder / '20260101_000000/vis_data/scalars.json').write_text(
        '{"coco/bbox_mAP": 0.325, "step": 1}\n'
    )
    report = SearchReport(search_dir, detector_dir=folder)
    assert 'Detector mAP' not in [name for name, *_ in report.results()]
    text = text_of(report.to_html())
    assert 'As the backbone of a detector it reaches' not in text
    assert said in text
    assert 'is a network that this search did not answer with: that reaches 32.5 % box mAP' in text
