"""What is made of the signals that say whether the documents answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import probe as fitting
from rag.answers import answerability
from rag.answers.answerability import NEUTRAL, SUREST, UNSUREST, stated_by
from rag.answers.compose import PROBE, prompts_digest
from rag.backends.extractive import ExtractiveGenerator
from rag.backends.models import DEFAULT_LLM

DIMENSION = 1536


class Knowing(ExtractiveGenerator):
    """Has a hidden state, and always says yes."""

    def __init__(self, name: str, state: np.ndarray[Any, Any] | None) -> None:
        super().__init__()
        self.name = name
        self._state = state

    def log_odds(self, yes: str, no: str) -> float:
        return 20.0

    def state(self) -> Any:
        return self._state


def stored() -> tuple[np.ndarray[Any, Any], float]:
    with np.load(PROBE, allow_pickle=False) as found:
        return found["weights"], float(found["bias"])


def test_the_probe_is_of_the_prompt_and_the_model_that_are_shipped() -> None:
    with np.load(PROBE, allow_pickle=False) as found:
        assert (str(found["model"]), str(found["prompt"])) == (
            DEFAULT_LLM,
            prompts_digest("answer"),
        ), "fit it again after a change of prompts/answer.txt: python -m bench.probe"
        assert found["weights"].shape == (DIMENSION,)


def test_a_state_is_believed_before_a_yes() -> None:
    weights, bias = stored()
    against = -weights / np.linalg.norm(weights)
    found = stated_by(Knowing(DEFAULT_LLM, against))
    assert found.stated == pytest.approx(float(weights @ against) + bias, abs=1e-5)
    assert found.stated < bias
    assert stated_by(Knowing(DEFAULT_LLM, against), several=True).stated == 20.0
    towards = stated_by(Knowing(DEFAULT_LLM, -against))
    assert towards.probability(judged=0, fluent=0) > found.probability(judged=0, fluent=0)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("another", np.ones(DIMENSION, dtype=np.float32)),
        (DEFAULT_LLM, None),
        (DEFAULT_LLM, np.ones(7, dtype=np.float32)),
    ],
)
def test_what_the_probe_was_not_fitted_for_is_asked_for_a_yes(name: str, state: Any) -> None:
    assert stated_by(Knowing(name, state)).stated == 20.0


def test_without_the_file_or_with_another_prompt_a_yes_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = Knowing(DEFAULT_LLM, np.ones(DIMENSION, dtype=np.float32))
    assert stated_by(model).stated != 20.0
    for prompt in ("", "of another day"):
        file = tmp_path / f"{prompt}.npz"
        if prompt:
            weights, bias = stored()
            np.savez(file, weights=weights, bias=bias, model=DEFAULT_LLM, prompt=prompt)
        answerability._probe.cache_clear()
        monkeypatch.setattr(answerability, "PROBE", file)
        assert stated_by(model).stated == 20.0
    answerability._probe.cache_clear()


@pytest.mark.parametrize("name", ["another", DEFAULT_LLM])
def test_each_signal_makes_an_answer_likelier(name: str) -> None:
    found = stated_by(Knowing(name, np.zeros(DIMENSION, dtype=np.float32)))
    low, middle, high = (
        found.probability(judged=judged, fluent=-0.2) for judged in (UNSUREST, NEUTRAL, SUREST)
    )
    assert 0 <= low < middle < high <= 1
    assert found.probability(judged=1, fluent=-2) < found.probability(judged=1, fluent=-0.1)


def test_a_probe_that_is_fitted_tells_sets_that_it_has_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    names = []
    for name in ("one", "two"):
        right = rng.random(80) < 0.5
        states = rng.normal(size=(80, 12))
        states[:, 3] += 3 * right
        odds = rng.normal(size=80)
        np.savez(tmp_path / name, states=states, log_odds=odds, right=right, model=DEFAULT_LLM)
        names.append(f"{name}={tmp_path / name}.npz")
    fitting.main(["fit", str(tmp_path / "probe.npz"), *names])
    areas = [line.rsplit(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert len(areas) == 2
    assert all(float(area) > 0.9 for area in areas)
    with np.load(tmp_path / "probe.npz", allow_pickle=False) as found:
        assert int(np.abs(found["weights"]).argmax()) == 3
        assert str(found["prompt"]) == prompts_digest("answer")
        assert str(found["model"]) == DEFAULT_LLM
    np.savez(tmp_path / "two", states=states, log_odds=odds, right=right, model="another")
    with pytest.raises(SystemExit):
        fitting.main(["fit", str(tmp_path / "probe.npz"), *names])
    assert "several models" in capsys.readouterr().err
