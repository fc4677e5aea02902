"""Encoder, predictor, decoder: golden numbers of the released code, closed forms, what fits do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_fill
from torch import nn

from cream_mm.methods.nao_v2 import Controller, Tokens
from cream_mm.methods.nao_v2.controller import hamming, one_thread, pairwise_accuracy, scaled
from cream_mm.spaces import NAOSpace, NASBench201Space, build_space
from cream_mm.testing import tiny_space

DATA = Path(__file__).parents[2] / 'data/nao'
GOLDEN = json.loads((DATA / 'controller.json').read_text())
TOKENS = Tokens(NAOSpace())


def filled(scale, dtype=torch.float64):
    """The released controller with the golden weights; those of matrices 1 or 3 times as large."""
    controller = Controller(TOKENS).double()
    state = golden_fill(controller.state_dict())
    factor = GOLDEN[scale]['weight_scale']
    state = {key: value * factor if value.dim() > 1 else value for key, value in state.items()}
    controller.load_state_dict(state)
    return controller.to(dtype)


CASES = [('scale_1', torch.float64), ('scale_3', torch.float64), ('scale_3', torch.float32)]
cases = pytest.mark.parametrize('scale, dtype', CASES, ids=['1', '3', '3, float32'])


def near(dtype):
    return dict(rtol=1e-8, atol=1e-12) if dtype == torch.float64 else dict(rtol=2e-5, atol=1e-6)


def close(found, expected):
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found.detach().double(), expected, **near(found.dtype))


def sequences(scale):
    return torch.tensor([row['tokens'] for row in GOLDEN[scale]['rows']])


def test_parameters():
    controller, golden = Controller(TOKENS), GOLDEN['scale_1']
    keys = [
        f'{key} {"x".join(map(str, value.shape))}' for key, value in controller.state_dict().items()
    ]
    assert keys == golden['keys']
    parts = dict(
        params=controller,
        params_encoder_predictor=controller.encoder,
        params_decoder=controller.decoder,
    )
    for name, part in parts.items():
        assert sum(p.numel() for p in part.parameters()) == golden[name]


@cases
def test_codes_and_predictions(scale, dtype):
    controller, rows = filled(scale, dtype), GOLDEN[scale]['rows']
    with torch.no_grad():
        outputs, mean = controller.encode(sequences(scale))
        log_probs = controller.log_probs(sequences(scale), outputs, mean)
    assert outputs.norm(dim=2).sub(1).abs().max() < 1e-6
    for step in (0, 7, 19):
        close(outputs[:, step, :3], [row['H_first3'][str(step)] for row in rows])
    close(mean[:, :5], [row['arch_emb_first5'] for row in rows])
    close(controller.predict(mean), [row['predicted'] for row in rows])
    for place in (0, 7, 39):
        close(log_probs[:, place, :5], [row['logprob_first5'][str(place)][:5] for row in rows])
    of_target = log_probs.gather(2, sequences(scale)[..., None]).sum((1, 2))
    close(of_target, [row['logprob_of_target_sum'] for row in rows])


@cases
def test_ascent_and_writing(scale, dtype):
    controller, golden = filled(scale, dtype), GOLDEN[scale]
    rows = golden['rows']
    with torch.no_grad():
        outputs, mean = controller.encode(sequences(scale))
        gradient = controller.gradient(outputs)
    close(gradient[:, :3], [row['grad_H_step0_first3'] for row in rows])
    close(gradient.norm(dim=1), [row['grad_H_step0_norm'] for row in rows])
    written = controller.write(outputs, mean).tolist()
    assert written == [row['greedy_tokens_unmoved'] for row in rows]
    for step in ('1', '5', '20'):
        with torch.no_grad():
            moved, moved_mean = controller.moved(outputs, float(step))
            predicted = controller.predict(moved_mean)
        expected = [row['latent'][step] for row in rows]
        for place in (0, 10, 19):
            close(moved[:, place, :3], [row['newH_first3'][str(place)] for row in expected])
        close(moved_mean[:, :5], [row['new_arch_emb_first5'] for row in expected])
        close(predicted, [row['predicted_at_new_emb'] for row in expected])
        assert controller.write(moved, moved_mean).tolist() == [
            row['decoded_tokens'] for row in expected
        ]
        start = torch.zeros(len(rows), 1, dtype=torch.int64)
        first = controller.decoder(start, moved, (moved_mean[None], moved_mean[None]))[0]
        close(first[:, 0, :5], [row['logprob_first5_step0'] for row in expected])


@cases
def test_losses_and_steps_of_adam(scale, dtype):
    controller, golden = filled(scale, dtype), GOLDEN[scale]
    targets = torch.tensor(golden['loss']['targets'], dtype=dtype)
    optimizer = torch.optim.Adam(controller.parameters(), lr=1e-3)
    tolerance = near(dtype) if dtype == torch.float64 else dict(rtol=2e-3, atol=1e-6)
    for step, expected in enumerate(golden['adam_20_steps_mse_nll_total']):
        mse, nll = controller.losses(sequences(scale), targets)
        loss = 0.8 * mse + 0.2 * nll
        found = torch.stack((mse, nll, loss)).detach().double()
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), **tolerance)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(controller.parameters(), 5.0)
        if step == 0:
            close(norm, golden['loss']['grad_total_norm_before_clip'])
        optimizer.step()


def test_the_gradient_is_that_of_autograd():
    """Its closed form, in a space with another number of steps and no unit weights."""
    tokens = Tokens(build_space('nas_bench_macro'))
    controller, rng = Controller(tokens, seed=3).double(), np.random.default_rng(0)
    archs = [tokens.space.sample(rng) for _ in range(4)]
    outputs, _ = controller.encode(torch.tensor([tokens.encode(arch) for arch in archs]))
    outputs = outputs.detach().requires_grad_()
    mean = nn.functional.normalize(outputs.mean(1), dim=1)
    (expected,) = torch.autograd.grad(controller.predict(mean).sum(), outputs)
    found = controller.gradient(outputs)
    torch.testing.assert_close(found[:, None].expand_as(expected), expected)
    # Steps have the length that they have in the released space, of 20 steps.
    moved, _ = controller.moved(outputs, 7.0)
    by_hand = nn.functional.normalize(outputs + 7.0 * tokens.steps / 20 * expected, dim=2)
    torch.testing.assert_close(moved, by_hand)


@pytest.mark.parametrize('space', [build_space('nas_bench_macro'), NASBench201Space()])
def test_what_is_written_is_an_architecture(space):
    """Whatever the code: of weights that know nothing, moved far."""
    tokens, rng = Tokens(space), np.random.default_rng(0)
    controller = Controller(tokens, seed=1)
    with torch.no_grad():
        for value in controller.parameters():
            value.mul_(5)
        sequences = torch.tensor([tokens.encode(space.sample(rng)) for _ in range(20)])
        for step in (0, 1, 30):
            code = controller.moved(controller.encode(sequences)[0], step)
            for row in controller.write(*code).tolist():
                assert tokens.encode(tokens.decode(row)) == row


def task(number=24):
    """Paths of a tiny space, and scores that the choices decide."""
    space, rng = tiny_space(depths=(3, 3)), np.random.default_rng(0)
    effects = rng.normal(size=space.sizes[:1] + (len(space.sizes),))
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(4 * number)))[:number]
    return space, archs, [50 + effects[space.encode(a), range(6)].sum() for a in archs]


def test_a_fit_learns_to_read_rank_and_write():
    space, archs, scores = task(16)
    controller, told = Controller(Tokens(space), hidden=32), []
    settings = dict(lr=1e-2, report=told.append, report_every=40)
    last = controller.fit(archs, scores, epochs=300, until_known=True, **settings)
    assert last.epoch % 25 == 0 and 50 <= last.epoch < 300  # of two looks, long before the end
    assert [fit.epoch for fit in told] == [*range(40, last.epoch, 40), last.epoch]
    assert told[-1] == last and told[0].mse > last.mse and told[0].nll > last.nll
    assert last.wrong_tokens == 0 and last.pairwise_accuracy >= 0.9 and last.of == 'fitted'
    sequences = torch.tensor([controller.tokens.encode(arch) for arch in archs])
    with torch.no_grad():
        outputs, mean = controller.encode(sequences)
        assert controller.write(outputs, mean).equal(sequences)
        after = controller.predict(controller.moved(outputs, 5.0)[1])
        assert (after > controller.predict(mean)).all()  # uphill


def test_a_fit_is_a_function_of_its_seed_and_not_of_the_world():
    space, archs, scores = task()

    def fit(threads, **kwargs):
        torch.manual_seed(threads)
        np.random.seed(threads)
        before_us = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            controller = Controller(Tokens(space))
            before = torch.get_rng_state()
            controller.fit(archs, scores, epochs=4, batch_size=10, **kwargs)
            assert torch.get_num_threads() == threads
            assert torch.get_rng_state().equal(before)
        finally:
            torch.set_num_threads(before_us)
        return torch.cat([value.flatten() for value in controller.state_dict().values()])

    first = fit(1)
    assert fit(2).equal(first)
    assert not fit(1, seed=1).equal(first) and not fit(1, number=1).equal(first)
    watched = fit(1, report=lambda fit: None, report_every=1)
    assert watched.equal(first)  # looking changes nothing


def test_what_is_held_out_is_not_learned_from():
    space, archs, scores = task()
    rows = []

    class Watched(Controller):
        def losses(self, sequences, targets):
            if torch.is_grad_enabled():
                rows.extend(map(tuple, sequences.tolist()))
            return super().losses(sequences, targets)

    controller = Watched(Tokens(space))
    last = controller.fit(archs, scores, epochs=2, held_share=0.1)
    kept = set(rows)
    assert len(kept) == len(archs) - 3 and last.of == 'held out'  # ceil(2.4)
    assert len(rows) == 2 * len(kept)  # no other way to write them


def test_other_ways_of_writing_have_the_same_target():
    space, rng = NAOSpace(), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(4)]
    rows = []

    class Watched(Controller):
        def losses(self, sequences, targets):
            if torch.is_grad_enabled():
                rows.extend(zip(map(tuple, sequences.tolist()), targets.tolist()))
            return super().losses(sequences, targets)

    Watched(TOKENS).fit(archs, [1.0, 3.0, 2.0, 5.0], epochs=1, expand=10)
    assert len(rows) == 40
    for arch, target in zip(archs, (0.0, 0.5, 0.25, 1.0)):
        mine = [row for row, value in rows if value == target]
        assert len(mine) == 10 and tuple(TOKENS.encode(arch)) in mine
        assert {space.canonical(TOKENS.decode(row)) for row in mine} == {space.canonical(arch)}
        assert len(set(mine)) > 3


def test_measures():
    rows = json.loads((DATA / 'tokens.json').read_text())
    for row in rows['pairwise_accuracy']:
        assert pairwise_accuracy(row['a'], row['b']) == pytest.approx(row['value'], rel=1e-12)
    for row in rows['hamming']:
        assert hamming(row['a'], row['b']) == row['value']
    assert pairwise_accuracy([1, 2, 3], [3, 4, 5]) == 1.0 == pairwise_accuracy([1], [2])
    assert pairwise_accuracy([1, 2, 3], [3, 2, 1]) == 0.0
    assert scaled([2.0, 4.0, 3.0]).tolist() == [0.0, 1.0, 0.5]
    assert scaled([7.0, 7.0]).tolist() == [0.5, 0.5]


def test_one_thread_gives_the_others_back():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_fit_needs_two():
    space, archs, scores = task()
    with pytest.raises(ValueError, match='at least 2 architectures with scores; got 1'):
        Controller(Tokens(space)).fit(archs[:1], scores[:1])
