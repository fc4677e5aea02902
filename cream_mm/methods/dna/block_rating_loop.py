"""The end of a block-wise search: rates every candidate, joins the blocks, writes the answer."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from ...costs import Budget
from ...engine.distributed import unwrap
from ...engine.loops.rating_time import SPREAD
from ...engine.loops.search_loop import averaged_weights
from ...engine.stage import Stage, share_to_time
from ...engine.words import short_path
from ...files import write_json
from ...files.answer_file import answer_content
from ...files.arch_file import RULES
from ...files.block_ratings import Tables, block_ratings_content, read_block_ratings
from ...files.front_file import front_content
from ...files.progress import Progress
from ...models.backbones.published import published_costs
from ...registry import LOOPS
from ...search.front import budget_steps, front_cost
from ...structures import Arch
from ...structures.randomness import named_rng
from .block_rating import METRIC, BlockRating
from .dna import DNA
from .joined_blocks import JoinedBlocks


@LOOPS.register_module()
class BlockRatingLoop(BaseLoop):
    """Rates all candidates of all blocks, and reads the best network within the budget off them.

    A network's score is the sum of its blocks' ratings, so the best one is found exactly, and with
    it the best one of every other budget. Nothing is run but single blocks; no labels are read.

    Runs at the end of a search; ``tools/test.py CONFIG CHECKPOINT`` runs it again. Writes into the
    work_dir:

    * ``ratings.jsonl``: each rating as it is made; a run that was killed goes on from there.
    * ``block_ratings.json``: all of them. With ratings of all blocks, also
    * ``front.json``: for steps through the budget's range the best network within each.
    * ``best_arch.json``: architecture, space, costs, rating, budget, config and seed.

    Args:
        runner (Runner): The runner; its model is a :class:`DNA`.
        dataloader (dict): Held-out images; its dataset, batch_size and num_workers count.
        evaluator: Not used; the config has ``test_evaluator = []``.
        bn_dataset (dict): Training images for batch norm.
        num_images (int, optional): Rate on at most this many images. None takes all.
        num_bn_images (int): Training images for batch norm. Defaults to 64.
        num_random (int): Random networks to show beside the front. Defaults to 20.
        max_gb (float): Memory for feature maps that paths have in common. Defaults to 4.
        tables (Sequence[str]): Ratings of blocks that other runs have trained (``blocks`` of the
            model): their work_dirs, or ``block_ratings.json`` files.
        next_steps (dict, optional): Configs that ``tools/export_arch.py`` builds on, under the
            keys ``retrain`` and ``detector``.

    Reference:
        DNA (Li et al., CVPR 2020), sections 3.3 and 3.4; the join is exact, in place of the
        released traversal.
    """

    instead = (
        'its ratings of all candidates give the best network of any budget without another search, '
        'tools/test.py CONFIG CHECKPOINT --cfg-options budget.macs_m=[LOW,HIGH]; whole paths have '
        'no rating of their own here. tools/rank_correlation.py takes --ratings '
        'WORK_DIR/block_ratings.json'
    )
    """What to do in place of what tools do with whole paths."""

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list | None = None,
        *,
        bn_dataset: dict,
        num_images: int | None = None,
        num_bn_images: int = 64,
        num_random: int = 20,
        max_gb: float = 4.0,
        tables: Sequence[str] = (),
        next_steps: dict | None = None,
    ):
        super().__init__(runner, dataloader)
        self.model: DNA = unwrap(runner.model)
        self.supernet = self.model.backbone
        self.bn_dataset = bn_dataset
        self.num_random = num_random
        self.next_steps = next_steps or {}
        self.rating_args = dict(num_images=num_images, num_bn_images=num_bn_images, max_gb=max_gb)
        self._other_tables: Tables = {}
        self._other_images: dict[str, int | None] = {}
        for path in tables:  # before any training, not after it
            read, about = read_block_ratings(path, self.supernet.space)
            self._other_tables |= read
            self._other_images[path] = about.get('num_images')
        # What came out and how to go on, for `SummaryHook`; on the main process.
        self.summary: list[tuple[str, str]] = []
        self.next_commands: list[list[str]] = []

    @property
    def budget(self) -> Budget:
        """Bounds that the answer obeys."""
        return self.supernet.budget

    def run(self) -> dict:
        """Rate, join, write, and return ``{'best/relative_l1': ..., 'best/macs_m': ...}``."""
        self.model.teacher.check_loaded()
        with averaged_weights(self.runner):
            rating = self.build_rating()
            tables = self._other_tables | self.rate(rating)
        for path, number in self._other_images.items():
            if number != rating.num_images:
                self.runner.logger.warning(
                    f'{path} was rated on {number} images, this run on {rating.num_images}: '
                    'ratings of different images make sums that are hard to compare'
                )
        if is_main_process():
            self._write_tables(tables, rating)
        missing = sorted(set(self.supernet.space.all_cells) - set(tables))
        if missing:
            blocks = sorted({block + 1 for block, _ in missing})
            self.runner.logger.info(
                f'There is no answer yet: blocks {blocks} are not rated. When other runs have '
                'rated them, name their work_dirs: tools/test.py CONFIG CHECKPOINT --cfg-options '
                'test_cfg.tables=[DIR,DIR]'
            )
            return {}
        joined = JoinedBlocks(self.supernet.budget, tables)
        best = joined.best()
        if best is None:
            raise ValueError(
                f'none of the networks lies within the budget, {self.budget}. The ratings are '
                'kept: tools/test.py CONFIG CHECKPOINT --cfg-options budget.macs_m=[LOW,HIGH] '
                'tries another one'
            )
        if is_main_process():
            self._write_front(joined, rating, best)
            self._write_answer(joined, rating, best)
        costs = self.budget.cost_model.cost(best).in_units()
        told = {f'best/{key}': costs[key] for key in ('macs_m', 'latency_ms') if key in costs}
        return {f'best/{METRIC}': joined.score(best), **told}

    # ---- rating ------------------------------------------------------------------------------

    def build_rating(self, **kwargs: Any) -> BlockRating:
        """What rates the blocks, with its record in the work_dir.

        Args:
            **kwargs: Arguments of :class:`BlockRating` in place of this loop's.
        """
        loader, runner = self.dataloader, self.runner
        log = Path(runner.work_dir) / 'ratings.jsonl'
        self._take_over(log)
        settings = dict(
            batch_size=loader.batch_size or loader.batch_sampler.batch_size,
            num_workers=loader.num_workers,
            seed=runner.seed,
            log_file=log,
            **self.rating_args,
        )
        bn_dataset = DATASETS.build(self.bn_dataset)
        return BlockRating(self.model, loader.dataset, bn_dataset, **{**settings, **kwargs})

    def _take_over(self, log: Path) -> None:
        """Ratings beside the checkpoint: another budget needs no second look at the candidates.

        Those of other weights, images or settings stay unused, as in any such file.
        """
        checkpoint = self.runner._load_from
        if not checkpoint or not is_main_process() or log.exists():
            return
        before = Path(checkpoint).parent / log.name
        if before.is_file():
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(before, log)

    def candidates(self) -> list[int]:
        """Of each block that is trained here, how many there are to rate."""
        space = self.supernet.space
        choices = len(space.skeleton.choices)
        return [sum(choices**cell.layers for cell in space.cells[b - 1]) for b in self.model.blocks]

    def stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: all ratings, by a few candidates of each block on some images."""
        args = self.rating_args
        held_out = min(args['num_images'] or math.inf, len(self.dataloader.dataset))

        def run(share: float) -> float:
            start = perf_counter()
            sizes = [max(2, round(share * size)) for size in (held_out, args['num_bn_images'])]
            rating = self.build_rating(num_images=sizes[0], num_bn_images=sizes[1], log_file=None)
            rating.fingerprint()  # reads all of them
            read = perf_counter() - start
            return read + sum(rating.time(number - 1) for number in self.model.blocks)

        seconds, share = share_to_time(run, held_out + args['num_bn_images'])
        number, ranks = sum(self.candidates()), get_world_size()
        return [Stage('rating', 'candidates', number / ranks, seconds / share / number, SPREAD)]

    def rate(self, rating: BlockRating) -> Tables:
        """Rate the blocks that were trained here, with lines of progress."""
        space, logger = self.supernet.space, self.runner.logger
        number, tables = self.candidates(), {}
        progress = Progress(sum(number))
        logger.info(
            f'Rating {sum(number):,} candidates of {len(number)} blocks on {rating.num_images} '
            f'held-out images, each by its block alone'
        )
        for block in (number - 1 for number in self.model.blocks):

            def tell(done: int, known: int, block: int = block) -> None:
                progress.done += done
                progress.fresh += done - known
                if done:
                    logger.info(
                        f'Rated [{progress.done}/{progress.total}] block {block + 1}  '
                        f'{progress.eta}',
                        extra=dict(share=progress.share),
                    )

            for cell, ratings in enumerate(rating.rate(block, tell)):
                tables[block, cell] = ratings
            rated = [
                value for cell in range(len(space.cells[block])) for value in tables[block, cell]
            ]
            logger.info(
                f'Block {block + 1}: relative L1 {min(rated):.4f} to {max(rated):.4f} of '
                f'{len(rated):,} candidates'
            )
        if rating.layers_asked:
            logger.info(
                f'Candidates with the same first layers shared them: {rating.layers_run:,} layers '
                f'were run in place of {rating.layers_asked:,}'
            )
        return tables

    # ---- files -------------------------------------------------------------------------------

    def _write_tables(self, tables: Tables, rating: BlockRating) -> None:
        file = Path(self.runner.work_dir) / 'block_ratings.json'
        about = dict(metric=METRIC, num_images=rating.num_images, bn_policy=rating.description)
        write_json(file, block_ratings_content(self.supernet.space, tables, **about))
        self.summary = [('blocks', short_path(file))]

    def _write_front(self, joined: JoinedBlocks, rating: BlockRating, best: Arch) -> None:
        steps: dict[Arch, float] = {}
        for bound, budget in budget_steps(self.budget):
            arch = joined.best(budget)
            if arch is not None and arch != best:
                steps.setdefault(arch, bound)  # each at its least bound
        key = front_cost(self.budget)
        high = self.budget.bounds.get(key, (None, None))[1]
        if high is None:
            high = self.budget.cost_model.extremes()[1][key]
        steps[best] = high
        references = [
            (name, joined.end(sign, key)) for name, sign in (('cheapest', 1), ('costliest', -1))
        ]
        references += [('random', arch) for arch in self._random(joined)]
        archs = [best, *steps, *(arch for _, arch in references)]
        content = front_content(
            self.budget, key, score=METRIC, higher_is_better=False, by='ratings',
            steps=[(bound, arch) for arch, bound in steps.items()], references=references,
            published=published_costs(self.budget.cost_model), answer=best,
            ratings={a: dict(score=joined.score(a), num_images=rating.num_images) for a in archs},
        )  # fmt: skip
        path = Path(self.runner.work_dir) / 'front.json'
        write_json(path, content)
        self.summary.append(('front', f'{short_path(path)}, {len(steps)} networks, small to large'))

    def _random(self, joined: JoinedBlocks) -> list[Arch]:
        """Within the budget, to show what a sum of ratings without a search is."""
        rng, found = named_rng('random networks', self.runner.seed, 0), []
        for _ in range(100 * self.num_random):
            arch = joined.sample(rng)
            if len(found) < self.num_random and self.budget.is_feasible(arch):
                found.append(arch)
        return found

    def _write_answer(self, joined: JoinedBlocks, rating: BlockRating, best: Arch) -> None:
        runner, score = self.runner, joined.score(best)
        told = dict(metric=METRIC, value=score, num_images=rating.num_images,
                    bn_policy=rating.description)  # fmt: skip
        content = answer_content(
            self.model, best, runner.cfg, rating=told, choice=dict(rule='blocks', notes=[]),
            seed=runner.seed, next_steps=self.next_steps,
        )  # fmt: skip
        file = Path(runner.work_dir) / 'best_arch.json'
        write_json(file, content)
        cost = self.budget.cost_model.cost(best).told()
        network, _ = self.supernet.space.network(best)
        runner.logger.info(f'Best network: {network}, chosen by {RULES["blocks"]}')
        self.summary = [
            ('best', f'relative L1 {score:.4f} over {self.supernet.space.num_blocks} blocks on '
             f'{rating.num_images} held-out images, {cost}'),
            ('answer', short_path(file)),
            *self.summary,
        ]  # fmt: skip
        out = short_path(Path(runner.work_dir) / 'export')
        self.next_commands = [
            ['python', 'tools/export_arch.py', short_path(file), '--out', out],
            ['python', 'tools/report.py', short_path(Path(runner.work_dir))],
        ]
