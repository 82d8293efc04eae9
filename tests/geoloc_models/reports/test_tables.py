"""Tables of results as text and as cells, and Markdown read back by a Markdown parser."""

import re

import numpy as np
import pytest
from geoloc_models_answers import answers
from markdown_it import MarkdownIt
from scipy import stats

from geoloc_models.evaluation import evaluate, over_seeds
from geoloc_models.evaluation.coverage import Coverage
from geoloc_models.evaluation.scores import Interval
from geoloc_models.inference.calibration_report import Abstaining, CalibrationReport, Region
from geoloc_models.reports import (
    Table,
    abstaining_table,
    calibration_table,
    comparison_table,
    differences_table,
    markdown_table,
    model_title,
    results_table,
    table_note,
    table_text,
    text_table,
)
from geoloc_models.reports.tables import PAPER_RESULTS

GUESSES = answers([[0.0, 0.0], [0.0, 1.0]], ["A", "B"])


def figures_of(n_bootstrap=20, **options):
    return evaluate(GUESSES, np.zeros((2, 2)), ["A", "A"], n_bootstrap=n_bootstrap, **options)


REFERENCES = {"majority_country": 55.5, "centre_median_km": 807.4}
# 0 km and 111.195 km off: half within 1 km, all within 200 km, a median of 55.6 km, and a GeoScore
# of 2500 (1 + exp(-111.195 / 1492.7)) = 4820.5.
EXPECTED = ["50.0", "50.0", "50.0", "100.0", "100.0", "100.0", "55.6", "4821", "2"]


def report(n_calibration=5, coverage=None, errors=(None, None), **changes):
    """Of 200 photos at temperature 1.25."""
    how = ("top_k", "mass", n_calibration, 1.25)
    return CalibrationReport(200, *how, coverage, *errors, **changes)


def test_results_on_a_terminal_fit_80_columns_and_stand_under_their_titles():
    figures = figures_of()
    full = report(202, Coverage(200, 181, 0.9, 0.86, 0.94, 178.0), (0.12, 0.045))
    name = "cells_consolidated_pretrained"
    reports = {name: full, "few": report()}
    text = table_text({"country": figures, name: figures}, REFERENCES, reports)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.split(" {2,}", lines[0]) == [
        "Model", "Country", "1 km", "25 km", "200 km", "750 km", "Median km",
    ]  # fmt: skip
    # All of the 20 bootstrap samples are either photo twice, or both: 50 or so around the median.
    assert re.split(" {2,}", lines[2]) == [
        "Country (baseline)", "50 ±50", "50 ±50", "50 ±50", "100 ±0", "100 ±0", "56 ±56",
    ]  # fmt: skip
    end = lines[0].index("Median km") + len("Median km")
    assert any(line[:end].endswith(" 807") for line in lines)
    assert "Guess: largest country" in text
    assert "2 test photos: " in text
    assert "±: bootstrap" in text
    radii = [re.split(" {2,}", line) for line in text.split("\n\n")[1].splitlines()]
    assert radii[0] == ["90 % radius", "Covers", "Expected", "Median km"]
    assert radii[2] == ["Cells, consolidated, ImageNet", "90.5 %", "84 to 96 %", "178"]
    assert radii[3] == ["few", "too few photos"]


def test_a_long_text_is_folded_and_a_wide_terminal_is_used(monkeypatch):
    table = Table(["File", "Place", "Km"], [["a/" * 50 + "b.jpg", "Zürich, 東京", "7"]])
    text = text_table(table, left=2)
    assert max(map(len, text.splitlines())) == 80
    assert len(text.splitlines()) == 4
    monkeypatch.setenv("COLUMNS", "200")
    assert len(text_table(table, left=2).splitlines()) == 3


def test_as_cells_each_figure_has_its_interval_beside_it():
    table = results_table({"offset": figures_of()}, REFERENCES)
    header, rows = table.header, table.rows
    assert header[:3] == ["Model", "Country %", "1 km %"]
    assert rows[0][0] == "Regression, multi-task"
    assert [cell.split(" ")[0] for cell in rows[0][1:]] == EXPECTED
    assert rows[0][4] == "100.0 [100.0, 100.0]"
    assert rows[1] == ["Guess: largest country", "55.5", *[""] * 8]
    assert rows[2] == ["Guess: training centre", *[""] * 6, "807", "", ""]


def test_every_model_has_a_title_and_unknown_names_pass_through():
    names = ["country", "offset", "offset_single", "cells_top_down", "cells_consolidated"]
    names += ["cells_bottom_up", "hierarchy", "retrieval_mlp", "retrieval_rff", "nearest"]
    titles = [model_title(name) for name in [*names, "refined"]]
    assert len(set(titles)) == 11
    assert not set(titles) & set(names)
    assert model_title("alpha 0.25") == "alpha 0.25"


def test_means_over_seeds_say_so():
    several = over_seeds([figures_of(), figures_of()])
    table = results_table({"country": several, "offset": figures_of()})
    header, rows = table.header, table.rows
    assert header[-2:] == ["n", "Runs"]
    assert [row[-1] for row in rows] == ["2", "1"]
    assert "seeds" in table_note({"country": several, "offset": figures_of()})
    assert "seed" in table_note({"country": several})
    assert "bootstrap" not in table_note({"country": several})


def test_a_figure_without_an_interval_stands_alone():
    rows = results_table({"country": over_seeds([figures_of()])}).rows
    assert rows[0][1:] == EXPECTED
    assert "nan" not in table_text({"country": figures_of(0)})


def test_models_with_other_radii_share_a_table():
    narrow = figures_of(radii_km=[10.0])
    table = results_table({"a": narrow, "b": figures_of(radii_km=[1.0, 200.0])})
    header, rows = table.header, table.rows
    assert header[2:5] == ["1 km %", "10 km %", "200 km %"]
    assert rows[0][2] == rows[0][4] == rows[1][3] == ""


def test_no_model_is_said_in_words():
    assert table_text({}) == table_note({}) == "No model has been evaluated."


@pytest.mark.parametrize(
    ("figure", "cell"),
    [
        (Interval(2.0, 0.5, 3.5), "+2.0 [0.5, 3.5] *"),
        (Interval(-2.0, -3.5, -0.5), "-2.0 [-3.5, -0.5] *"),
        (Interval(2.0, -0.5, 3.5), "+2.0 [-0.5, 3.5]"),
        (Interval(0.0, 0.0, 0.0), "0.0 [0.0, 0.0]"),
        (Interval(1.0, np.nan, np.nan), "+1.0"),
    ],
)
def test_a_star_marks_a_difference_whose_interval_leaves_out_zero(figure, cell):
    table = differences_table({"one less another": {"country": figure}})
    header, rows = table.header, table.rows
    assert header == ["Difference", "Country %"]
    assert rows == [["one less another", cell]]


def test_the_paper_s_figures_stand_under_ours_and_say_whose_they_are():
    table = comparison_table({"nearest": figures_of(), "offset": figures_of(radii_km=[25.0])})
    radii = [f"{radius} km %" for radius in (1, 25, 200, 750)]
    assert table.header[1:] == ["Figures of", "Country %", *radii]
    rows = table.rows
    assert rows[0] == ["Nearest images", "this run", "50.0", "50.0", "50.0", "100.0", "100.0"]
    # A radius that was not asked for is empty.
    assert rows[1] == ["Regression, multi-task", "this run", "50.0", "", "50.0", "", ""]
    assert rows[2] == ["", "paper, other data", "78.1", "0.1", "4.8", "63.4", "77.2"]
    # What only the paper trained follows; its baseline names a country and no place.
    assert rows[3] == ["Country (baseline)", "paper, other data", "77.0", "", "", "", ""]
    assert [row[1] for row in rows[3:]] == ["paper, other data"] * (len(PAPER_RESULTS) - 1)
    assert rows[-1][2:] == ["77.0", "15.1", "30.0", "61.9", "76.0"]


def test_every_figure_stands_in_its_column():
    full = report(
        150,
        Coverage(200, 181, 0.9, 0.855, 0.94, 31.4),
        (0.25, 0.051),
        regions=(Region(0.5, 0.61, 1.0), Region(0.9, 0.92, 2.5)),
    )
    endless = report(50, Coverage(200, 200, 0.9, 0.85, 0.94, np.inf))
    reports = {"cells_top_down": full, "offset": report(), "nearest": endless, "country": None}
    table = calibration_table(reports)
    titles = ["Cells, top-down", "Regression, multi-task", "Nearest images"]
    assert [row[0] for row in table.rows] == titles
    # Beta-binomial of 150 and 200 photos, by its own sums.
    cumulated = np.cumsum(stats.betabinom.pmf(np.arange(201), 200, 136, 15))
    low, high = np.searchsorted(cumulated, [0.025, 0.975])
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "Model": "Cells, top-down",
        "decoder": "top k",
        "90 % radius holds %": "90.5 [85.5, 94.0]",
        "by both draws": f"[{low / 2:.1f}, {high / 2:.1f}]",
        "radius, median km": "31",
        "temperature": "1.25",
        "calibration error %": "25.0 to 5.1",
        "50 % region holds %": "61.0",
        "90 % region holds %": "92.0",
        "classes of 90 % region, median": "2.5",
        "n": "200",
    }
    assert table.rows[1][2:] == [*[""] * 8, "200"]
    assert table.rows[2][4] == "no bound"


def test_abstaining_has_a_row_a_model_that_knows_its_probability():
    sure = Abstaining((0.95, 0.9, 0.8, 0.7), 0.12, 0.4, 0.925)
    mute = Abstaining((0.2, 0.2, 0.2, 0.2), 0.8, 0.0, None)
    told = {"pooled": sure, "nearest": mute, "offset": None}
    reports = {name: report(abstaining=each) for name, each in told.items()}
    table = abstaining_table({**reports, "country": None})
    assert table.rows == [
        ["Pooled partitions", "95 %", "90 %", "80 %", "70 %", "12 %", "40 %", "92 %"],
        ["Nearest images", "20 %", "20 %", "20 %", "20 %", "80 %", "0 %", ""],
    ]


def test_markdown_shows_cells_as_they_are():
    strange = ["a | b", "*c* _d_ `e`", "<script>f</script>", "[g](h)", "\\", "two\nlines", ""]
    header = [f"column {number}" for number in range(len(strange))]
    tokens = (
        MarkdownIt("commonmark").enable("table").parse(markdown_table(Table(header, [strange])))
    )
    cells = [
        "".join(child.content for child in tokens[place + 1].children)
        for place, token in enumerate(tokens)
        if token.type in ("th_open", "td_open")
    ]
    assert cells == [*header, *strange[:5], "two lines", ""]
    assert "| 1.0 [0.5, 2.0] |" in markdown_table(Table(["m", "x"], [["a", "1.0 [0.5, 2.0]"]]))
