from __future__ import annotations

import numpy as np
import pytest

from geocells.decoding import promise_threshold, risk_coverage


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are surer of themselves than they should be."""
    confidences = rng.random(n)
    return confidences, rng.random(n) < np.sqrt(confidences) * 0.97


def test_risk_and_coverage_are_those_of_the_answers_at_least_as_sure():
    rng = np.random.default_rng(0)
    confidences, right = rng.integers(20, size=300) / 20, rng.random(300) < 0.7
    table = risk_coverage(confidences, right)
    assert table["confidence"].tolist() == sorted(set(confidences.tolist()), reverse=True)
    for confidence, coverage, risk in table.to_numpy().tolist():
        given = confidences >= confidence
        assert coverage == given.mean()
        assert risk == pytest.approx(1 - right[given].mean(), abs=1e-12)


def test_the_promise_is_kept_as_often_as_it_says():
    """True share above the threshold by the integral of its law; of 400 draws at most 10 % may break it, by 3 sigma."""
    rng = np.random.default_rng(1)
    broken, coverages = 0, []
    for _ in range(400):
        threshold = promise_threshold(*draw(rng, 2000), share=0.85, error=0.1)
        coverages.append(1 - min(max(threshold, 0.0), 1.0))
        if threshold < 1:
            low = max(threshold, 0.0)
            broken += 0.97 * (1 - low**1.5) / 1.5 / (1 - low) < 0.85
    assert broken <= 400 * 0.1 + 3 * np.sqrt(400 * 0.1 * 0.9)
    # 0.43 of the photos have a share of 0.85 above them; the bound for 2 000 photos costs some of it.
    assert np.mean(coverages) > 0.33


def test_what_cannot_be_promised_and_what_needs_no_threshold():
    confidences = np.linspace(0, 1, 200)
    assert promise_threshold(confidences, np.zeros(200, dtype=bool)) == np.inf
    assert promise_threshold(confidences, np.ones(200, dtype=bool)) == -np.inf
    assert promise_threshold(confidences[:10], np.ones(10, dtype=bool)) == np.inf
    assert promise_threshold(confidences[:30], np.ones(30, dtype=bool)) == -np.inf  # 0.9^30 < 0.05
    assert promise_threshold([], []) == np.inf
    assert len(risk_coverage([], [])) == 0
    # All as sure: no threshold parts them.
    assert promise_threshold(np.full(200, 0.5), np.arange(200) % 3 > 0) == np.inf
    # A quarter as sure as can be, and right; the others less sure, and right.
    assert promise_threshold(np.minimum(confidences, 0.75), np.ones(200, dtype=bool)) == -np.inf


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ([0.5, np.nan], [True, True]),
            {},
            "finite numbers; 1 of 2 rows do not .first: row 1, nan",
        ),
        (([0.5], [True, True]), {}, "each of the 1 answers"),
        (([0.5], [2]), {}, "one boolean for each"),
        (([0.5], [True]), {"share": 1}, "share must be"),
        (([0.5], [True]), {"error": 0}, "error must be"),
    ],
)
def test_what_is_no_confidence_or_promise_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        promise_threshold(*arguments, **options)
