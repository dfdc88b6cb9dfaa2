"""The learned factor of each model, and the file that keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from llmrouter.tokens import Factors
from llmrouter.tokens.factors import FILE_NAME
from llmrouter.tokens.families import family_of

CLAUDE = "anthropic/claude-haiku-4-5"


def test_an_estimate_starts_at_the_prior_of_the_family_and_errs_high() -> None:
    prior = family_of(CLAUDE).prior
    assert prior * 1000 <= Factors().estimate(CLAUDE, 1000) <= prior * 1000 * 1.05


@pytest.mark.parametrize("truth", [0.7, 1.0, 1.35, 2.4])
def test_the_factor_converges_to_what_the_provider_reports(truth: float) -> None:
    factors = Factors()
    for _ in range(20):
        factors.learn(CLAUDE, 2_000, round(2_000 * truth))
    assert factors.factor(CLAUDE) == pytest.approx(truth, rel=0.03)


def test_estimates_after_learning_are_no_lower_than_the_truth() -> None:
    factors = Factors()
    for counted in range(500, 5_000, 100):
        factors.learn(CLAUDE, counted, round(counted * 1.31))
    assert 1_310 <= factors.estimate(CLAUDE, 1_000) <= 1_400


def test_every_prompt_is_worth_counting_until_the_factor_is_settled_and_then_now_and_then() -> None:
    factors, due = Factors(), []
    for _ in range(100):
        due.append(factors.due(CLAUDE))
        if due[-1]:
            factors.learn(CLAUDE, 1_000, 1_300)
    assert all(due[:8])
    assert 4 <= sum(due[8:]) <= 7


def test_one_absurd_report_does_not_turn_a_settled_factor() -> None:
    factors = Factors()
    for _ in range(30):
        factors.learn(CLAUDE, 1_000, 1_200)
    factors.learn(CLAUDE, 4_000, 31_000)
    assert factors.factor(CLAUDE) < 1.5


def test_the_factor_follows_a_tokenizer_that_changed() -> None:
    factors = Factors()
    for _ in range(200):
        factors.learn(CLAUDE, 1_000, 1_100)
    for _ in range(150):
        factors.learn(CLAUDE, 1_000, 1_450)
    assert factors.factor(CLAUDE) == pytest.approx(1.45, rel=0.03)


@pytest.mark.parametrize(
    ("counted", "reported"), [(0, 10), (10, 15), (1_000, 0), (1_000, 100_000), (1_000, 1), (-5, 9)]
)
def test_senseless_reports_are_ignored(counted: int, reported: int) -> None:
    factors = Factors()
    factors.learn(CLAUDE, counted, reported)
    assert factors.factor(CLAUDE) == family_of(CLAUDE).prior


def test_models_learn_apart() -> None:
    factors = Factors()
    factors.learn(CLAUDE, 4_000, 8_000)
    assert factors.factor("anthropic/claude-sonnet-4-5") == family_of("anthropic/claude-sonnet-4-5").prior


@given(st.lists(st.tuples(st.integers(-10, 10**7), st.integers(-10, 10**8)), max_size=40))
def test_a_factor_stays_within_sane_bounds_whatever_is_reported(reports: list[tuple[int, int]]) -> None:
    factors = Factors()
    for counted, reported in reports:
        factors.learn(CLAUDE, counted, reported)
    assert 0.2 <= factors.factor(CLAUDE) <= 8.0


# ------------------------------------------------------------------------------------------------ the file


def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    first = Factors(tmp_path)
    first.learn(CLAUDE, 4_000, 8_000)
    first.flush()
    assert Factors(tmp_path).factor(CLAUDE) == pytest.approx(first.factor(CLAUDE))


def test_nothing_is_written_before_it_is_due(tmp_path: Path) -> None:
    factors = Factors(tmp_path / "cache")
    factors.learn(CLAUDE, 4_000, 8_000)
    assert not (tmp_path / "cache").exists()


def test_a_due_write_happens_while_learning(tmp_path: Path) -> None:
    factors = Factors(tmp_path, write_every=0)
    factors.learn(CLAUDE, 4_000, 8_000)
    assert CLAUDE in json.loads((tmp_path / FILE_NAME).read_text())


def test_a_flush_without_news_writes_nothing(tmp_path: Path) -> None:
    Factors(tmp_path / "cache").flush()
    assert not (tmp_path / "cache").exists()


def test_writing_leaves_one_file_and_no_remains(tmp_path: Path) -> None:
    factors = Factors(tmp_path / "cache", write_every=0)
    for _ in range(5):
        factors.learn(CLAUDE, 4_000, 8_000)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        '{"a/b": 3}',
        '{"a/b": {"counted": "x", "reported": 1, "reports": 1}}',
        '{"a/b": {"counted": 0, "reported": 0, "reports": 0}}',
        '{"a/b": {"counted": 1, "reported": NaN, "reports": 1}}',
    ],
)
def test_a_broken_file_costs_one_warning_and_learning_goes_on(
    tmp_path: Path, content: str, warnings: list[str]
) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    factors = Factors(tmp_path)
    assert factors.factor(CLAUDE) == family_of(CLAUDE).prior
    factors.learn(CLAUDE, 4_000, 8_000)
    factors.flush()
    assert len(warnings) == 1
    assert Factors(tmp_path).factor(CLAUDE) > 1.5


def test_an_unwritable_folder_costs_one_warning_and_never_a_call(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    factors = Factors(tmp_path / "file" / "cache", write_every=0)
    for _ in range(3):
        factors.learn(CLAUDE, 4_000, 8_000)
    assert factors.factor(CLAUDE) > 1.5
    assert len(warnings) == 1
