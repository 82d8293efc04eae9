"""Markdown, read back by a Markdown parser."""

import numpy as np
from geoloc_models_answers import answers
from markdown_it import MarkdownIt

from geoloc_models.evaluation import evaluate
from geoloc_models.reports import Section, markdown_table, report_markdown, table_markdown


def cells_of(markdown):
    """Rows of the first table, as a reader would see them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    rows = []
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            children = tokens[place + 1].children
            rows[-1].append("".join(child.content for child in children))
    return rows


def test_cells_are_shown_as_they_are():
    strange = ["a | b", "*c* _d_ `e`", "<script>f</script>", "[g](h)", "\\", "two\nlines", ""]
    header = [f"column {number}" for number in range(len(strange))]
    rows = cells_of(markdown_table((header, [strange])))
    assert rows[0] == header
    assert rows[1] == [*strange[:5], "two lines", ""]


def test_table_1_has_a_row_per_model_and_a_note():
    figures = evaluate(answers([[0.0, 0.0]], ["A"]), np.zeros((1, 2)), ["A"], n_bootstrap=5)
    text = table_markdown({"offset": figures, "retrieval_rff": figures})
    rows = cells_of(text)
    assert [row[0] for row in rows] == ["Model", "Regression, multi-task", "Retrieval, RFF"]
    assert rows[1][1] == "100.0 [100.0, 100.0]"
    assert "1 test images" in text
    assert table_markdown({}) == "No model has been evaluated."


def test_pictures_are_links_relative_to_the_report(tmp_path):
    picture = tmp_path / "run" / "a picture.png"
    text = report_markdown(
        tmp_path / "run", "Title", [Section("One", figures=[(picture, "A [caption]")])]
    )
    assert "![A \\[caption\\]](a%20picture.png)" in text
    assert str(tmp_path) not in text


def test_an_interval_reads_well_unrendered():
    assert "| 1.0 [0.5, 2.0] |" in markdown_table((["model", "x"], [["a", "1.0 [0.5, 2.0]"]]))


def test_a_section_has_its_parts_in_order(tmp_path):
    section = Section(
        "Two", "Some *text*.", (["x", "y"], [["1", "2"]]), [(tmp_path / "p.png", "")], 2
    )
    text = report_markdown(tmp_path, "Title", [Section("One"), section])
    blocks = text.rstrip("\n").split("\n\n")
    assert blocks[:4] == ["# Title", "## One", "### Two", "Some *text*."]
    assert blocks[4].startswith("| x")
    assert blocks[5:] == ["![](p.png)"]
