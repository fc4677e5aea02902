"""Encoder, predictor and decoder: architectures as points of a space in which one can climb."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from ...structures import Arch
from ...structures.randomness import named_rng, weights_drawn
from .tokens import START, Tokens

PUBLISHED_STEPS = 20  # of a sequence of the released code, for which its step sizes were chosen
LOOK_EVERY, KNOWN_ORDER = 25, 0.9  # epochs; share of pairs


class Fit(NamedTuple):
    """How well a controller knows its sequences: what :meth:`Controller.fit` tells as it goes.

    ``of`` says of which sequences: 'held out' ones, or all 'fitted' ones where none are held out.
    """

    epoch: int
    mse: float  # of the predictions, targets from 0 to 1
    nll: float  # of a token, in nats
    pairwise_accuracy: float
    wrong_tokens: float  # of a sequence, on average, when it is written from its own code
    of: str


class Encoder(nn.Module):
    """Reads a sequence, and predicts the score from what it read."""

    def __init__(self, vocabulary: int, width: int, embedding: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.rnn = nn.LSTM(width * embedding, hidden, batch_first=True)
        self.regressor = nn.Linear(hidden, 1)


class Attention(nn.Module):
    """Multiplicative attention over the encoder's outputs."""

    def __init__(self, hidden: int):
        super().__init__()
        self.input_proj = nn.Linear(hidden, hidden, bias=False)
        self.output_proj = nn.Linear(2 * hidden, hidden, bias=False)

    def forward(self, query: Tensor, outputs: Tensor) -> Tensor:
        """(N, L, hidden), (N, steps, hidden) -> (N, L, hidden)."""
        weights = torch.bmm(self.input_proj(query), outputs.transpose(1, 2)).softmax(2)
        mix = torch.bmm(weights, outputs)
        return self.output_proj(torch.cat((mix, query), 2)).tanh()


class Decoder(nn.Module):
    """Writes the sequence that a point of the latent space stands for, token by token."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int):
        super().__init__()
        self.rnn = nn.LSTM(embedding, hidden, batch_first=True)
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.attention = Attention(hidden)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(
        self, before: Tensor, outputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(N, L) tokens, each that before -> (N, L, vocabulary) log-probabilities, and a state."""
        found, state = self.rnn(self.embedding(before), state)
        return log_softmax(self.out(self.attention(found, outputs)), 2), state


class Controller(nn.Module):
    """Encoder, predictor and decoder of the architectures of a space.

    The encoder, one LSTM layer over the steps of a sequence, gives a *code*: its outputs, (N,
    steps, hidden), each normalised to length 1, and their mean, normalised, (N, hidden). The
    predictor is one linear layer over that mean, then a sigmoid. The decoder, one LSTM layer that
    starts from the mean, attends to the outputs and writes the tokens one by one.

    Args:
        tokens (Tokens): The alphabet, and what may be written.
        embedding (int): Of a token of the encoder; those of a step are joined. Defaults to 32.
        hidden (int): Of both LSTMs. Defaults to 64.
        decoder_embedding (int): Of a token of the decoder. Defaults to 64.
        seed (int): Of the first weights. Defaults to 0.

    Reference:
        NAO-V2, released code, without hidden layers in the predictor and without dropout: 80,845
        parameters in its cell space.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        embedding: int = 32,
        hidden: int = 64,
        decoder_embedding: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        self.tokens = tokens
        with weights_drawn(seed):
            self.encoder = Encoder(tokens.vocabulary, tokens.width, embedding, hidden)
            self.decoder = Decoder(tokens.vocabulary, decoder_embedding, hidden)

    # ---- there and back ----------------------------------------------------------------------

    def encode(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """(N, length) tokens -> their code, (N, steps, hidden) and (N, hidden)."""
        embedded = self.encoder.embedding(sequences)
        steps = embedded.reshape(len(sequences), self.tokens.steps, -1)
        outputs = normalize(self.encoder.rnn(steps)[0], dim=2)
        return outputs, normalize(outputs.mean(1), dim=1)

    def predict(self, mean: Tensor) -> Tensor:
        """(N, hidden) -> (N,) scores between 0 and 1."""
        return self.encoder.regressor(mean)[:, 0].sigmoid()

    def log_probs(self, sequences: Tensor, outputs: Tensor, mean: Tensor) -> Tensor:
        """Log-probability of each token after those that stand before it in ``sequences``.

        Args:
            sequences (Tensor): (N, length) tokens.
            outputs, mean (Tensor): Their code.

        Returns:
            Tensor: (N, length, vocabulary).
        """
        start = torch.full_like(sequences[:, :1], START)
        before = torch.cat((start, sequences[:, :-1]), 1)
        return self.decoder(before, outputs, (mean[None], mean[None]))[0]

    def losses(self, sequences: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the predictions, and negative log-likelihood of a token."""
        outputs, mean = self.encode(sequences)
        mse = (self.predict(mean) - targets).square().mean()
        found = self.log_probs(sequences, outputs, mean)
        return mse, -found.gather(2, sequences[..., None]).mean()

    # ---- climbing ----------------------------------------------------------------------------

    @torch.no_grad()
    def gradient(self, outputs: Tensor) -> Tensor:
        """Of the predicted score by the output of a step: (N, steps, hidden) -> (N, hidden).

        It is the same for every step: between them lie only a mean, its normalisation, a linear
        layer and the sigmoid. So it has a closed form, with 1 / steps in it.
        """
        sums = outputs.mean(1)
        length = sums.norm(dim=1, keepdim=True)
        mean, weight = sums / length, self.encoder.regressor.weight
        score = self.predict(mean)[:, None]
        across = weight - mean * (mean @ weight.T)
        return score * (1 - score) * across / (length * self.tokens.steps)

    @torch.no_grad()
    def moved(self, outputs: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """The code, moved by ``step`` times the gradient of the predicted score.

        Args:
            outputs (Tensor): (N, steps, hidden).
            step (float): In the units of the released code, whose sequences have 20 steps. As the
                gradient by one output falls with their number, it is multiplied by steps / 20.

        Returns:
            tuple[Tensor, Tensor]: A code, as of :meth:`encode`.
        """
        step = step * self.tokens.steps / PUBLISHED_STEPS
        outputs = normalize(outputs + step * self.gradient(outputs)[:, None], dim=2)
        return outputs, normalize(outputs.mean(1), dim=1)

    @torch.no_grad()
    def write(self, outputs: Tensor, mean: Tensor) -> Tensor:
        """The likeliest architectures, token by token: (N, length).

        At each place only the tokens count with which the step can still become a choice.
        """
        follows = torch.from_numpy(self.tokens.follows)
        state = (mean[None], mean[None])
        last = torch.full((len(mean), 1), START)
        written = []
        for start in self.tokens.starts.tolist():
            place = torch.full((len(mean),), start)
            for _ in range(self.tokens.width):
                log_probs, state = self.decoder(last, outputs, state)
                allowed = follows[place]  # (N, vocabulary)
                last = log_probs[:, 0].masked_fill(allowed < 0, -torch.inf).argmax(1, keepdim=True)
                place = allowed.gather(1, last)[:, 0]
                written.append(last)
        return torch.cat(written, 1)

    # ---- learning ----------------------------------------------------------------------------

    def fit(
        self,
        archs: Sequence[Arch],
        scores: Sequence[float],
        *,
        epochs: int = 1000,
        batch_size: int = 100,
        lr: float = 1e-3,
        trade_off: float = 0.8,
        clip: float = 5.0,
        expand: int = 10,
        held_share: float = 0.0,
        seed: int = 0,
        number: int = 0,
        until_known: bool = False,
        report: Callable[[Fit], None] | None = None,
        report_every: int = 100,
    ) -> Fit:
        """Train on architectures with scores, from the weights that it has, by a new Adam.

        The loss is ``trade_off`` times the squared error of the scores, which are scaled to 0 to 1,
        and the rest times the likelihood of the sequence. One thread computes it, so that it is a
        function of weights, data and seed on any machine of a kind.

        Args:
            archs (Sequence[Arch]): Whole architectures.
            scores (Sequence[float]): Of each; higher is better.
            epochs, batch_size, lr, trade_off, clip: Of the training. Default to the released
                code's 1000, 100, 0.001, 0.8 and 5 (the most that the norm of the gradient is).
            expand (int): Times that each architecture is among the data, once as it is and else
                written in other ways (:meth:`Space.rewrite`); once alone where the space has
                none. Defaults to 10.
            held_share (float): Share of the architectures that is not trained on and only reported
                of. Defaults to 0: with few, each of them is needed.
            seed (int): Of the ways of writing, the order and what is held out. Defaults to 0.
            number (int): Of the fit, so that each has draws of its own. Defaults to 0.
            until_known (bool): End before ``epochs`` once everything that is trained on is known
                at two looks in a row, one each 25 epochs: every sequence is written without an
                error, and 9 of 10 pairs are ordered right. Defaults to False.
            report (callable, optional): Gets a :class:`Fit` now and then.
            report_every (int): How many epochs lie between two. Defaults to 100.

        Returns:
            Fit: After the last epoch.

        Raises:
            ValueError: If there are fewer than two architectures.
        """
        if len(archs) < 2:
            raise ValueError(f'a fit needs at least 2 architectures with scores; got {len(archs)}')
        rng = named_rng('controller', seed, number)
        order = rng.permutation(len(archs))
        num_held = min(math.ceil(held_share * len(archs)), len(archs) - 1)
        held, kept = order[:num_held], order[num_held:]
        targets = scaled(scores)
        plain = np.array([self.tokens.encode(arch) for arch in archs])
        rows, values = [plain[kept]], [targets[kept]]
        for _ in range(expand - 1):
            for place in kept:
                other = self.tokens.space.rewrite(archs[place], rng)
                if other is not archs[place]:
                    rows.append([self.tokens.encode(other)])
                    values.append(targets[place : place + 1])
        dtype = self.encoder.regressor.weight.dtype
        sequences = torch.from_numpy(np.concatenate(rows))
        targets_of = torch.from_numpy(np.concatenate(values)).to(dtype)
        shown = held if num_held else kept
        told = torch.from_numpy(plain[shown]), targets[shown], 'held out' if num_held else 'fitted'

        own = torch.from_numpy(plain[kept]), targets[kept]
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        result, known = None, 0  # looks in a row
        with one_thread(), torch.enable_grad():
            for epoch in range(1, epochs + 1):
                places = torch.from_numpy(rng.permutation(len(sequences)))
                for some in places.split(batch_size):
                    mse, nll = self.losses(sequences[some], targets_of[some])
                    optimizer.zero_grad()
                    (trade_off * mse + (1 - trade_off) * nll).backward()
                    nn.utils.clip_grad_norm_(self.parameters(), clip)
                    optimizer.step()
                if until_known and epoch % LOOK_EVERY == 0:
                    known = known + 1 if self._knows(*own) else 0
                last = epoch == epochs or known == 2
                if last or report is not None and epoch % report_every == 0:
                    result = self._measured(epoch, *told)
                    if report is not None:
                        report(result)
                if last:
                    break
        return result

    @torch.no_grad()
    def _knows(self, sequences: Tensor, targets: np.ndarray) -> bool:
        outputs, mean = self.encode(sequences)
        if pairwise_accuracy(targets, self.predict(mean).numpy()) < KNOWN_ORDER:
            return False
        return self.write(outputs, mean).equal(sequences)

    @torch.no_grad()
    def _measured(self, epoch: int, sequences: Tensor, targets: np.ndarray, of: str) -> Fit:
        outputs, mean = self.encode(sequences)
        mse, nll = self.losses(sequences, torch.from_numpy(targets).to(outputs.dtype))
        return Fit(
            epoch, mse.item(), nll.item(),
            pairwise_accuracy(targets, self.predict(mean).numpy()),
            hamming(sequences.numpy(), self.write(outputs, mean).numpy()), of,
        )  # fmt: skip


def scaled(scores: Sequence[float]) -> np.ndarray:
    """Scores from 0, the lowest, to 1, the highest; 0.5 each where all are equal."""
    scores = np.asarray(scores, dtype=np.float64)
    low, high = scores.min(), scores.max()
    if low == high:
        return np.full(len(scores), 0.5)
    return (scores - low) / (high - low)


def pairwise_accuracy(first: Sequence[float], second: Sequence[float]) -> float:
    """Share of the pairs that two lists of numbers order alike.

    A pair counts if neither number is lower than its later partner, or both are: ties count, or
    do not, by the order of the lists.

    Reference:
        NAO-V2, released code.
    """
    lower = [np.less.outer(np.asarray(x), np.asarray(x)) for x in (first, second)]
    pairs = np.triu_indices(len(lower[0]), 1)
    return float((lower[0] == lower[1])[pairs].mean()) if len(pairs[0]) else 1.0


def hamming(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> float:
    """Tokens in which two sequences differ, averaged over pairs of sequences."""
    return float((np.asarray(first) != np.asarray(second)).sum(1).mean())


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, however many threads there are; for matrices this small no slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
