"""Search in a latent space: encode the best paths, go uphill, decode."""

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch

from ...costs import Budget
from ...files.progress import Progress
from ...registry import TASK_UTILS
from ...search.strategies.strategy import Scored, Strategy, collect
from ...spaces import Space
from ...structures import Arch
from ...structures.randomness import named_rng
from .controller import Controller, Fit, one_thread
from .tokens import Tokens

SNAPSHOT_FORMAT = 'cream_mm.nao_search/1'
MAX_STEP = 51  # of the ascent, in the released code
MIN_BATCH = 100  # sequences that are written at once: few take as long as many


@TASK_UTILS.register_module(name=['NAOSearch', 'nao'])
class NAOSearch(Strategy):
    """After some random paths, asks for those to which the gradient of a predicted score leads.

    A *generation* is made when one is asked for and all paths of the last were handed out: the
    controller is trained on all paths with a score (a *fit*; from its last weights, and only if a
    score was told since the last one), the codes of the best ``num_seeds`` are moved along the
    gradient of the predicted score, by steps 1, 2, 3 ... 51, and decoded. Decoded paths that are
    new and within the budget are the generation, ``num_new`` or as many as are asked for. If there
    are not so many, mutants of the best and then random paths fill it up. Renewed scores drop
    what is left of a generation. So one generation comes of ``tell(archs, scores, renew=True)``
    and ``ask(n)``; ``ask`` gives no more than what is left of one.

    The method has no budget of its own: that paths outside of it are passed over, as seeds and as
    proposals, is an extension.

    The state is a snapshot: what was scored and asked for, the rest of the generation and the
    controller's weights. Loading it fits nothing again.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        num_initial (int): Random paths before the first generation. Paths told from elsewhere
            count. Defaults to 100; the released code's is 1000.
        num_new (int): Paths of a generation. Defaults to 50; the released code's is 300.
        num_seeds (int): Best paths that are moved. Defaults to 100.
        epochs (int): Of a fit, at most: it ends once the decoder writes what it was trained on
            without an error and the predictor orders 9 of 10 pairs of it right, see
            ``until_known`` of :meth:`Controller.fit`. Defaults to 1000.
        expand (int): How often an architecture is among what is fitted, in other ways of writing,
            where the space has such. Defaults to 10.
        held_share (float, optional): Share of the paths that a fit does not learn from and reports
            of. None, the default, is 0, and 0.1 in the official mode.
        until_known (bool, optional): Whether a fit may end before ``epochs``. None, the default,
            is True, and False in the official mode.
        official (bool): Do as the released code: paths are known if their tokens are, whether
            written in another way or not; a generation is not filled up. Defaults to
            False.
        log (callable, optional): Gets a line of text now and then; a run gives its own.

    Raises:
        ValueError: If a number is out of range.

    Reference:
        Luo et al., Neural Architecture Optimization (NeurIPS 2018), section 3; NAO-V2, Luo et al.,
        Understanding and Improving One-shot Neural Architecture Optimization (arXiv 1909.10815),
        released code. Differs, unless ``official``: no network is proposed twice in two ways of
        writing it.
    """

    by_a_run = frozenset({'log'})

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        num_initial: int = 100,
        num_new: int = 50,
        num_seeds: int = 100,
        epochs: int = 1000,
        expand: int = 10,
        held_share: float | None = None,
        until_known: bool | None = None,
        official: bool = False,
        log: Callable[[str], None] | None = None,
        **kwargs: Any,
    ):
        if official:
            kwargs = {'key': _as_written, **kwargs}
        super().__init__(space, budget, **kwargs)
        if held_share is None:
            held_share = 0.1 if official else 0.0
        if until_known is None:
            until_known = not official
        for name, value, low in (
            ('num_initial', num_initial, 2),
            ('num_new', num_new, 1),
            ('num_seeds', num_seeds, 1),
            ('epochs', epochs, 1),
            ('expand', expand, 1),
        ):
            if type(value) is not int or value < low:
                raise ValueError(f'{name} is a whole number of at least {low}; got {value!r}')
        if not 0 <= held_share < 1:
            raise ValueError(f'held_share is at least 0 and below 1; got {held_share!r}')
        self.settings.update(
            num_initial=num_initial, num_new=num_new, num_seeds=num_seeds, epochs=epochs,
            expand=expand, held_share=float(held_share), until_known=bool(until_known),
            official=bool(official),
        )  # fmt: skip
        self.tokens = Tokens(space)
        self.controller = Controller(self.tokens, seed=self.settings['seed'])
        self.num_fits = 0
        self._log = log or (lambda line: None)
        self._generations = 0
        self._stale = False  # whether a score was told since the last fit
        self._queue: list[Arch] = []
        self._asked: dict[Arch, Arch] = {}  # without a score, by key
        self._used = False
        self._weights: str | None = None  # of the controller, once it was fitted

    @classmethod
    def for_run(cls, run: Any, **settings: Any) -> 'NAOSearch':
        """With the run's log; all processes go on with the controller of the first."""
        strategy = super().for_run(run, log=run.runner.logger.info, **settings)
        strategy._shared = run.on_main_process
        return strategy

    _shared: Callable[[Callable], Any] = staticmethod(lambda function: function())

    # ---- the interface -----------------------------------------------------------------------

    def tell(self, archs: Sequence[Arch], scores: Sequence[float], renew: bool = False) -> None:
        """See :meth:`Strategy.tell`. Renewed scores drop what is left of a generation."""
        renewed = renew and any(self._key(arch) in self._scored for arch in archs)
        super().tell(archs, scores, renew)
        self._stale = True
        for arch in archs:
            self._asked.pop(self._key(arch), None)
        if renewed:
            self._seen -= {self._key(arch) for arch in self._queue} - set(self._scored)
            self._queue = []

    def _propose(self, n: int) -> list[Arch]:
        missing = self.settings['num_initial'] - len(self._seen)
        if not self._queue and (missing > 0 or len(self._whole()) < 2):
            archs = collect(self._random_path, min(n, max(missing, 1)))
        else:
            if not self._waiting():
                self._queue = self._generation(max(n, self.settings['num_new']))
            archs = self._waiting()[:n]
            self._queue = self._waiting()[n:]
        self._asked.update((self._key(arch), arch) for arch in archs)
        return archs

    def _waiting(self) -> list[Arch]:
        """What is left of a generation; some of it may have been told from elsewhere."""
        return [arch for arch in self._queue if self._key(arch) not in self._scored]

    def _whole(self) -> list[Scored]:
        """Scored paths that have all positions of the space, best first."""
        size = len(self.space.sizes)
        items = [item for item in self.scored if len(self.space.encode(item.arch)) == size]
        return sorted(items, key=lambda item: (-item.score, item.cost_m))

    # ---- a generation ------------------------------------------------------------------------

    def fit(self) -> Fit:
        """Train the controller on all scored paths, from its last weights."""
        settings, items = self.settings, self._whole()
        number = self.num_fits + 1
        self._log(f'Fit {number} of the controller to {len(items)} paths')
        every = max(1, min(100, settings['epochs'] // 5))
        progress = Progress(settings['epochs'])

        def report(fit: Fit) -> None:
            progress.done = progress.fresh = fit.epoch
            self._log(
                f'Fit {number} [{fit.epoch}/{progress.total}] '
                f'pairwise accuracy {100 * fit.pairwise_accuracy:.1f} %, '
                f'{fit.wrong_tokens:.2f} of {self.tokens.length} tokens wrong ({fit.of}), '
                f'mse {fit.mse:.5f}, nll {fit.nll:.4f}  {progress.eta}'
            )

        fit = self.controller.fit(
            [item.arch for item in items], [item.score for item in items],
            **{key: settings[key] for key in ('epochs', 'expand', 'held_share', 'until_known')},
            seed=settings['seed'], number=number, report=report, report_every=every,
        )  # fmt: skip
        weights = self._shared(lambda: pack(self.controller))
        self._set_weights(weights)
        self.num_fits, self._stale = number, False
        return fit

    def _generation(self, n: int) -> list[Arch]:
        if self._stale:
            self.fit()
        self._generations += 1
        inside = [item for item in self._whole() if self._is_allowed(item.arch)]
        seeds = [item.arch for item in inside[: self.settings['num_seeds']]]
        found, reached = [], 0
        with one_thread():  # as the fit: the same paths on any machine of a kind
            for step, arch in self.climbs(seeds):
                reached = step
                if not self.settings['official']:
                    arch = self.space.reduced(arch)
                if self._is_new(arch) and self._is_allowed(arch):
                    found.append(self._mark(arch))
                    if len(found) == n:
                        break
        told = f'{len(found)} new paths from {len(seeds)} seeds'
        if seeds:
            told += f' by steps up to {reached}'
        if len(found) < n and not self.settings['official']:
            rng = named_rng(type(self).__name__, self.settings['seed'], self._generations)
            parents = cycle(seeds)
            make = (lambda: self._mutant(next(parents), rng)) if seeds else self._random_path
            filled = collect(make, n - len(found))
            told += f'; {len(filled)} {"mutants of these" if seeds else "random ones"} fill it up'
            found += filled
        if not found:
            told += '; nothing is left to propose'
        self._log(f'Generation {self._generations}: {told}')
        return found

    @torch.no_grad()
    def climbs(self, seeds: list[Arch]) -> Iterator[tuple[int, Arch]]:
        """Step by step, what the codes of some paths decode to when they are moved.

        Yields:
            tuple[int, Arch]: The step, and one path for each seed, in their order.
        """
        if not seeds:
            return
        sequences = torch.tensor([self.tokens.encode(arch) for arch in seeds])
        outputs, _ = self.controller.encode(sequences)
        many = max(1, MIN_BATCH // len(seeds))  # steps at once
        for first in range(1, MAX_STEP + 1, many):
            steps = range(first, min(first + many, MAX_STEP + 1))
            parts = [self.controller.moved(outputs, step) for step in steps]
            written = self.controller.write(*map(torch.cat, zip(*parts))).tolist()
            for i, tokens in enumerate(written):
                yield steps[i // len(seeds)], self.tokens.decode(tokens)

    # ---- state -------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """A snapshot, as plain JSON values; the weights are text of some 100 kB."""
        return dict(
            format=SNAPSHOT_FORMAT,
            type=type(self).__name__,
            settings=dict(self.settings),
            scored=[[item.arch.to_list(), item.score] for item in self.scored],
            asked=[arch.to_list() for arch in self._asked.values()],
            queue=[arch.to_list() for arch in self._queue],
            draws=self._draws,
            generations=self._generations,
            fits=self.num_fits,
            stale=self._stale,
            controller=self._weights,
        )

    def load_state_dict(self, state: dict) -> None:
        """Go on from a snapshot; nothing is fitted or asked for again.

        Raises:
            ValueError: If this strategy was used before, or the state is of another one or lacks
                something.
        """
        self._check_state(state, SNAPSHOT_FORMAT)
        if lacks := sorted(set(self.state_dict()) - set(state)):
            raise ValueError(f'the state of a {type(self).__name__} has {lacks[0]!r}; this has not')
        pairs = [(self.space.parse(nested), score) for nested, score in state['scored']]
        self.tell([arch for arch, _ in pairs], [score for _, score in pairs])
        self._asked = {self._key(a): a for a in map(self.space.parse, state['asked'])}
        self._queue = list(map(self.space.parse, state['queue']))
        self._seen.update(self._asked, map(self._key, self._queue))
        self._draws = state['draws']
        self._generations = state['generations']
        self.num_fits = state['fits']
        self._stale = state['stale']
        if state['controller'] is not None:
            self._set_weights(state['controller'])
        self._note(dict(loaded=True))

    def _note(self, call: dict) -> None:
        self._calls = [dict(used=True)]  # the snapshot needs no more of them

    def _set_weights(self, text: str) -> None:
        unpack(self.controller, text)
        self._weights = text


def pack(module: torch.nn.Module) -> str:
    """All weights of a module as text: float32, little endian, base64."""
    flat = torch.cat([value.detach().flatten() for value in module.state_dict().values()])
    return base64.b64encode(flat.numpy().astype('<f4').tobytes()).decode()


def unpack(module: torch.nn.Module, text: str) -> None:
    """Set the weights that :func:`pack` gave.

    Raises:
        ValueError: If they are of a module of another size, or no such text.
    """
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype='<f4')
    except (TypeError, ValueError) as error:
        raise ValueError(f'"controller" of a saved search is not its weights: {error}') from None
    if not np.isfinite(values).all():
        raise ValueError('"controller" of a saved search has weights that are not finite')
    flat = torch.from_numpy(values.astype(np.float32))
    state = module.state_dict()
    if (number := sum(value.numel() for value in state.values())) != len(flat):
        raise ValueError(f'{len(flat)} weights; the controller of this space has {number}')
    parts = flat.split([value.numel() for value in state.values()])
    module.load_state_dict(
        {key: part.view_as(value) for (key, value), part in zip(state.items(), parts)}
    )


def _as_written(arch: Arch) -> Arch:
    return arch
