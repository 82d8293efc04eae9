"""The paper's own figures."""

import numpy as np
from geoloc_models_answers import answers

from geoloc_models.evaluation import evaluate
from geoloc_models.reports import comparison_markdown, comparison_table, paper_table

FIGURES = evaluate(answers([[0.0, 0.0]], ["A"]), np.zeros((1, 2)), ["A"], n_bootstrap=5)


def test_the_paper_s_table_is_as_printed():
    header, rows = paper_table()
    assert header == ["Model", "Country %", "1 km %", "25 km %", "200 km %", "750 km %"]
    assert rows[0] == ["Country (baseline)", "77.0", "", "", "", ""]
    assert rows[1] == ["Regression, multi-task", "78.1", "0.1", "4.8", "63.4", "77.2"]
    assert rows[-1] == ["Retrieval, RFF", "77.0", "15.1", "30.0", "61.9", "76.0"]
    assert len(rows) == 6


def test_the_paper_s_figures_stand_under_ours_and_say_whose_they_are():
    _, rows = comparison_table({"nearest": FIGURES, "offset": FIGURES})
    ours = ["100.0"] * 5
    assert rows[0] == ["Nearest images", "this run", *ours]  # the paper has no such model
    assert rows[1] == ["Regression, multi-task", "this run", *ours]
    assert rows[2] == ["", "paper, other data", "78.1", "0.1", "4.8", "63.4", "77.2"]
    others = rows[3:]
    assert len(others) == 5  # what only the paper trained
    assert all(row[1] == "paper, other data" for row in others)


def test_a_radius_we_did_not_ask_for_is_empty():
    narrow = evaluate(
        answers([[0.0, 0.0]], ["A"]), np.zeros((1, 2)), ["A"], radii_km=[25], n_bootstrap=2
    )
    _, rows = comparison_table({"offset": narrow})
    assert rows[0][2:] == ["100.0", "", "100.0", "", ""]


def test_in_markdown_the_other_data_set_is_named():
    text = comparison_markdown({"country": FIGURES})
    assert " this run |" in text
    assert "another data set: 180 K photos of Sweden and Switzerland" in text
