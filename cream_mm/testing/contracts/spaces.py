"""The contract of a search space."""

import json

import numpy as np
import pytest

from ...spaces import Space, build_space
from ...structures import Arch


class SpaceContract:
    """Subclasses give a fixture ``space``."""

    @pytest.fixture
    def space(self) -> Space:
        """The space to test."""
        raise NotImplementedError

    @pytest.fixture
    def archs(self, space: Space) -> list[Arch]:
        """Some of its architectures, drawn."""
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(30)]

    def test_sizes(self, space: Space) -> None:
        assert isinstance(space.name, str) and space.name
        assert isinstance(space.sizes, tuple) and space.sizes
        assert all(type(size) is int and size >= 1 for size in space.sizes)

    def test_encode_and_decode_are_inverse(self, space: Space, archs: list[Arch]) -> None:
        for arch in archs:
            flat = space.encode(arch)
            assert len(flat) == len(space.sizes) and all(type(c) is int for c in flat)
            assert all(0 <= choice < size for choice, size in zip(flat, space.sizes))
            for decoded in (space.decode(flat), space.decode(np.array(flat), like=arch)):
                assert decoded == arch and decoded.to_list() == arch.to_list()
            # One after the other: effects and tables find a choice by its place in the lists.
            assert flat == [choice for stage in arch.stages for choice in stage]

    def test_sample_is_a_function_of_the_generator(self, space: Space, archs: list[Arch]) -> None:
        rng = np.random.default_rng(0)
        assert archs == [space.sample(rng) for _ in archs]
        other = np.random.default_rng(1)
        several = max(space.sizes) > 1
        assert (archs != [space.sample(other) for _ in archs]) or not several

    def test_sample_covers_all_choices(self, space: Space) -> None:
        rng = np.random.default_rng(2)
        drawn = [space.encode(space.sample(rng)) for _ in range(50 * max(space.sizes))]
        for size, column in zip(space.sizes, zip(*drawn)):
            assert set(column) == set(range(size))

    def test_validate_gives_it_back(self, space: Space, archs: list[Arch]) -> None:
        for arch in archs:
            assert space.validate(arch) is arch and arch.space == space.name

    def test_validate_refuses(self, space: Space, archs: list[Arch]) -> None:
        with pytest.raises(ValueError, match='belongs to space'):
            space.validate(Arch(archs[0].stages, f'not {space.name}'))
        flat = space.encode(archs[0])
        for position, size in enumerate(space.sizes):
            for choice in (-1, size):
                wrong = space.decode([*flat[:position], choice, *flat[position + 1 :]])
                with pytest.raises(ValueError, match=f'choice {choice} '):
                    space.validate(wrong)
        with pytest.raises(ValueError, match='stage|nested'):
            space.validate(Arch((), space.name))

    def test_mutate_changes_the_architecture(self, space: Space, archs: list[Arch]) -> None:
        if max(space.sizes) == 1:
            pytest.skip('the space has one architecture')
        rng, again = np.random.default_rng(3), np.random.default_rng(3)
        for arch in archs:
            before = space.encode(arch)
            other = space.mutate(arch, rng)
            assert space.validate(other) != arch and space.encode(arch) == before
            assert space.mutate(arch, again) == other

    def test_mutate_reaches_every_choice(self, space: Space, archs: list[Arch]) -> None:
        rng, seen = np.random.default_rng(4), [set() for _ in space.sizes]
        for i in range(60 * sum(space.sizes)):
            for values, choice in zip(seen, space.encode(space.mutate(archs[i % 30], rng))):
                values.add(choice)
        assert seen == [set(range(size)) for size in space.sizes]

    def test_what_is_drawn_may_be_answered(self, space: Space, archs: list[Arch]) -> None:
        rng = np.random.default_rng(5)
        for arch in archs:
            assert space.proposes(arch) is True
            assert space.proposes(space.mutate(arch, rng))

    def test_reduced_is_the_same_network(self, space: Space, archs: list[Arch]) -> None:
        rng = np.random.default_rng(6)
        plain = [space.decode([int(rng.integers(size)) for size in space.sizes]) for _ in archs]
        for arch in (*archs, *plain):
            less = space.reduced(space.validate(arch))
            assert space.reduced(less) == less and space.canonical(less) == space.canonical(arch)
            assert space.is_trainable(less) == space.is_trainable(arch)
            assert space.proposes(less) == space.is_trainable(arch)
            assert type(space.count_layers(arch)) is int
            assert 0 <= space.count_layers(less) <= len(space.sizes)

    def test_canonical_is_one_of_its_own(self, space: Space, archs: list[Arch]) -> None:
        for arch in archs:
            form = space.canonical(arch)
            assert space.validate(form) == space.canonical(form)

    def test_rewritten_is_the_same_network(self, space: Space, archs: list[Arch]) -> None:
        rng, again = np.random.default_rng(7), np.random.default_rng(7)
        for arch in archs:
            other = space.rewrite(arch, rng)
            assert space.canonical(space.validate(other)) == space.canonical(arch)
            assert space.rewrite(arch, again) == other

    def test_what_is_read_together(self, space: Space) -> None:
        assert type(space.positions_per_step) is int and space.positions_per_step >= 1
        assert len(space.sizes) % space.positions_per_step == 0
        named = list(space.named_positions)
        assert named == sorted(set(named)) and set(named) <= set(range(len(space.sizes)))
        assert all(
            choice in range(max(space.sizes[place] for place in named))
            for choice in space.named_choices.values()
        )

    def test_every_notation_is_read(self, space: Space, archs: list[Arch]) -> None:
        for arch in archs:
            flat, nested = space.encode(arch), arch.to_list()
            assert json.loads(json.dumps(nested)) == nested
            for value in (arch, nested, tuple(map(tuple, nested)), str(nested), str(arch),
                          flat, str(flat), f' {arch}', space.format(arch)):  # fmt: skip
                read = space.parse(value)
                assert read == arch and read.to_list() == nested

    def test_what_is_no_architecture_is_not_read(self, space: Space, archs: list[Arch]) -> None:
        flat = space.encode(archs[0])
        wrong = [None, 3, 1.5, '', 'x', '[', [], {}, True, flat[:-1], [*flat, 0], [*flat[:-1], -1],
                 [*flat[:-1], space.sizes[-1]], [float(c) for c in flat], [[c] for c in 'abc'],
                 '__import__("os")', '[' * 5000, '9' * 20_000, archs[0].to_list()[:-1],
                 Arch(archs[0].stages, f'not {space.name}')]  # fmt: skip
        for value in wrong:
            with pytest.raises(ValueError) as error:
                space.parse(value)
            assert len(str(error.value)) < 2000 + 4 * len(str(archs[0]))

    def test_comes_back_from_json(self, space: Space, archs: list[Arch]) -> None:
        again = build_space(json.loads(json.dumps(space.to_dict())))
        assert type(again) is type(space) and again == space and hash(again) == hash(space)
        rng = np.random.default_rng(0)
        assert [again.sample(rng) for _ in archs] == archs
        assert build_space(space) is space

    def test_factors_tell_choices_apart(self, space: Space) -> None:
        for position, size in enumerate(space.sizes):
            factors = space.factors(position)
            assert len(factors) == len(set(factors)) == size
            assert len({len(tokens) for tokens in factors}) == 1
            assert all(type(token) is int for tokens in factors for token in tokens)
