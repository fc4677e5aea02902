import hashlib
import json
import os

import pytest
import torch

from cream_mm.evaluation import ArchEvaluator
from cream_mm.files import append_lines
from cream_mm.files.rating_log import RatingLog, digest
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

A, B = Arch(((0, 1), (1, 0))), Arch(((1, 1), (0, 0)))
RATING = dict(top1_pct=12.5, num_images=8, loss=1.5)


def test_what_was_added_is_there_again(tmp_path):
    log = RatingLog(tmp_path / 'r.jsonl', 'key')
    assert len(log) == 0 and log.get(A) is None
    log.add(A, RATING)
    again = RatingLog(tmp_path / 'r.jsonl', 'key')
    assert again.get(A) == RATING and again.get(B) is None and len(again) == 1


def test_other_keys_are_kept_and_not_used(tmp_path):
    path = tmp_path / 'r.jsonl'
    RatingLog(path, 'old').add(A, RATING)
    log = RatingLog(path, 'new')
    assert log.get(A) is None
    log.add(A, dict(RATING, top1_pct=50.0))
    assert RatingLog(path, 'old').get(A) == RATING
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize('cut', [1, 5, 30])
def test_a_line_cut_by_a_kill_is_rated_again(tmp_path, cut):
    path = tmp_path / 'r.jsonl'
    log = RatingLog(path, 'key')
    log.add(A, RATING)
    log.add(B, RATING)
    path.write_bytes(path.read_bytes()[:-cut])
    log = RatingLog(path, 'key')
    assert log.get(A) == RATING and log.get(B) is None
    log.add(B, RATING)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_foreign_lines_are_passed_over(tmp_path):
    path = tmp_path / 'r.jsonl'
    path.write_text('nonsense\n[1]\n{"arch": [[0]]}\n')
    log = RatingLog(path, 'key')
    assert len(log) == 0


WRONG = [
    '"top1_pct": NaN', '"top1_pct": 1e308', '"top1_pct": Infinity', '"top1_pct": "99"',
    '"top1_pct": -1', '"top1_pct": 100.5', '"top1_pct": true', '"top1_pct": null',
    '"top1_pct": [99]', '"num_images": 0', '"num_images": 8.5', '"num_images": true',
    '"loss": NaN', '"loss": -0.1', '"loss": "1"', '"loss": 1e308', '"loss": 1' + '0' * 400,
    '"x": ' + '[' * 100_000,
]  # fmt: skip


@pytest.mark.parametrize('wrong', WRONG, ids=lambda text: text[:24])
def test_what_no_rating_is_is_rated_again(tmp_path, monkeypatch, wrong):
    told, path = [], tmp_path / 'r.jsonl'
    monkeypatch.setattr(
        'cream_mm.files.rating_log.print_log', lambda text, *args, **kwargs: told.append(text)
    )
    log = RatingLog(path, 'key')
    log.add(A, RATING)
    name, _, value = wrong.partition(': ')
    record = dict(key='key', arch=B.to_list(), **{**RATING, name.strip('"'): 'HERE'})
    with open(path, 'a') as file:
        file.write(json.dumps(record).replace('"HERE"', value) + '\n')
    log = RatingLog(path, 'key')
    assert log.get(A) == RATING and log.get(B) is None and len(log) == 1
    assert len(told) == 1 and f'{path}, line 2' in told[0] and 'rated again' in told[0]
    assert '\n' not in told[0] and len(told[0]) < 500
    assert len(RatingLog(path, 'other')) == 0
    log.add(B, RATING)
    assert RatingLog(path, 'key').get(B) == RATING


def test_ratings_in_another_encoding_are_gone_on_with(tmp_path):
    path = tmp_path / 'r.jsonl'
    RatingLog(path, 'key').add(A, RATING)
    path.write_text(path.read_text(), encoding='utf-16')
    log = RatingLog(path, 'key')
    assert log.get(A) == RATING
    log.add(B, RATING)
    assert [json.loads(line)['top1_pct'] for line in path.read_text().splitlines()] == [12.5] * 2


def test_ratings_that_are_a_pipe(tmp_path):
    path = tmp_path / 'r.jsonl'
    os.mkfifo(path)
    with pytest.raises(ValueError, match='r.jsonl is .*not a regular file'):
        RatingLog(path, 'key')
    with pytest.raises(ValueError, match='r.jsonl is .*not a regular file'):
        append_lines(path, ['a'])


def test_digest_sees_values_shapes_types_and_order():
    x = torch.arange(6.0)
    texts = [
        digest(parts)
        for parts in ([x], [x.view(2, 3)], [x.int()], [x + 1e-7], [x[:3], x[3:]], ['a', 'b'],
                      ['b', 'a'], [x > 2], [torch.tensor(1.0)])
    ]  # fmt: skip
    assert len(set(texts)) == len(texts)
    assert digest([x.view(2, 3).t()]) == digest([x.view(2, 3).t().contiguous()])


def evaluator(path, model, images, labels=(0, 1, 2, 0), **kwargs):
    data = [dict(inputs=x, data_samples=s) for x, s in zip(images, tiny_samples(labels))]
    settings = dict(batch_size=2, num_bn_images=4, max_gb=0, log_file=path)
    return ArchEvaluator(model, data, data, **{**settings, **kwargs})


def test_nothing_is_rated_twice(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = tiny_cream()
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    path, calls = tmp_path / 'r.jsonl', []
    rate = ArchEvaluator.rate

    def counting(self, arch):
        calls.append(arch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rate(self, arch)

    monkeypatch.setattr(ArchEvaluator, 'rate', counting)
    with pytest.raises(KeyboardInterrupt):
        evaluator(path, model, images).rate_all([A, B], lambda i, rating: None)
    seen = []
    ratings = evaluator(path, model, images).rate_all([A, B], lambda i, rating: seen.append(i))
    assert calls == [A, B, B] and seen == [0, 1]
    assert ratings == [rate(evaluator(None, model, images), arch) for arch in (A, B)]


def test_other_weights_images_or_settings_are_rated_anew(tmp_path):
    torch.manual_seed(0)
    model = tiny_cream()
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    path = tmp_path / 'r.jsonl'

    def key(**kwargs):
        given = dict(model=model, images=images)
        return evaluator(path, **{**given, **kwargs}).log.key

    first = key()
    assert key() == first
    keys = {first, key(images=images + 1), key(labels=(0, 1, 2, 1)), key(batch_size=4),
            key(num_bn_images=3), key(bn_policy='batch_stats'), key(seed=1)}  # fmt: skip
    with torch.no_grad():
        model.board.scores += 1  # no rating depends on it
        assert key() == first
        model.head.classifier.bias += 1
    assert len(keys | {key()}) == 8


def test_a_digest_depends_on_shape_type_and_numbers_alone():
    one = torch.tensor([3], dtype=torch.long)
    odd = torch.empty(0, dtype=torch.long).new_full((1,), 3).as_strided((1,), (0,))
    assert odd.stride() == (0,) and digest([one]) == digest([odd])
    grid = torch.arange(12.0).view(3, 4)
    assert digest([grid.t()]) == digest([grid.t().contiguous()]) != digest([grid])
    assert digest([grid]) != digest([grid.double()]) != digest([grid.view(4, 3).double()])
    assert digest([grid.bfloat16()]) != digest([(grid + 1).bfloat16()])
    assert digest([torch.zeros(0, 4)]) == digest([torch.zeros(0, 4)])
    assert digest([grid, 'a']) == (
        hashlib.sha256(
            f'{tuple(grid.shape)} {grid.dtype} '.encode() + grid.numpy().tobytes() + b'a\n'
        ).hexdigest()
    )
