"""Confusion of countries, against scikit-learn's matrix."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from geoloc_models.errors import GeolocError
from geoloc_models.reports import figures


def texts_of(figure):
    return {tuple(map(int, text.get_position())): text.get_text() for text in figure.axes[0].texts}


def test_counts_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, guess = random.choice(list("ABCD"), (2, 200), p=[0.4, 0.3, 0.2, 0.1])
    texts = texts_of(figures.confusion(truth, guess))
    matrix = confusion_matrix(truth, guess, labels=list("ABCD"))
    counts = [[int(texts[column, row].split("\n")[0]) for column in range(4)] for row in range(4)]
    np.testing.assert_array_equal(counts, matrix)


def test_small_countries_are_one_class(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.confusion_matrix.N_NAMED", 2)
    figure = figures.confusion(list("AAABBCD"), list("ABCBBDE"))
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["A", "B", "3 others"]
    counts = {place: text.split("\n")[0] for place, text in texts_of(figure).items()}
    assert counts == {(0, 0): "1", (1, 0): "1", (2, 0): "1", (1, 1): "2", (2, 2): "2"}


def test_counts_are_written_and_colours_are_shares_of_the_row():
    figure = figures.confusion(list("AAAAB"), list("AAABB"), names={"A": "Austria"})
    axis = figure.axes[0]
    shares = axis.images[0].get_array()
    np.testing.assert_allclose(shares, [[75, 25], [0, 100]])
    assert texts_of(figure) == {(0, 0): "3\n75 %", (1, 0): "1\n25 %", (1, 1): "1\n100 %"}
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Austria (4)", "B (1)"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["Austria", "B"]
    assert "Guessed" in axis.get_xlabel()


def test_a_country_that_is_only_guessed_has_an_empty_row():
    figure = figures.confusion(["A"], ["B"])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[0, 100], [0, 0]])


def test_the_world_has_fifteen_countries_and_the_rest():
    names = [f"C{number:02}" for number in range(40)]
    figure = figures.confusion(names, names)
    assert figure.axes[0].images[0].get_array().shape == (16, 16)
    assert texts_of(figure)[15, 15] == "25"


def test_lengths_that_differ_are_refused():
    with pytest.raises(GeolocError, match="2 true countries but 1 guessed"):
        figures.confusion(["A", "B"], ["A"])
