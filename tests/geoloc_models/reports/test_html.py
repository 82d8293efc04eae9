"""The HTML report, read back by an HTML parser."""

import base64
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from geoloc_models._errors import GeolocError
from geoloc_models.reports import Section, report_html, write_report

EMPTY = {"meta", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Elements in order, the text, and whether each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def picture(tmp_path):
    figure = Figure(figsize=(1, 1), dpi=20)
    figure.savefig(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_pictures_are_inside_and_decode_to_the_same_bytes(picture):
    page = Page(report_html("Report", [Section("One", figures=[(picture, "A caption")])]))
    (image,) = page.all("img")
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == picture.read_bytes()
    assert image["alt"] == "A caption"
    assert "A caption" in page.text


def test_plain_text_is_escaped_everywhere(picture):
    bad = '<script>alert("1")</script> & "quotes"'
    section = Section(bad, "", ([bad, bad], [[bad, bad]]), [(picture, bad)])
    page = Page(report_html(bad, [section]))
    assert not page.all("script")
    # Title twice; the section in the contents and as heading; four cells; one caption.
    assert page.text.count(bad) == 9
    assert page.all("img")[0]["alt"] == bad


def test_html_and_foreign_pictures_in_markdown_are_not_let_through():
    text = "<img src=x onerror=alert(1)> ![p](https://example.org/p.png) [l](javascript:alert(1))"
    page = Page(report_html("Report", [Section("One", text)]))
    assert not page.all("img")
    assert all(link["href"].startswith("#") for link in page.all("a")[:1])
    assert not any("javascript" in link.get("href", "") for link in page.all("a"))


def test_nothing_is_fetched_and_no_script_runs(picture):
    page = Page(report_html("Report", [Section("One", "Text", figures=[(picture, "")])]))
    assert not page.all("script") + page.all("link")
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_markdown_of_the_text_is_rendered():
    text = "Some **bold** and `code`.\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"
    page = Page(report_html("Report", [Section("One", text)]))
    names = [name for name, _ in page.elements]
    for name in ("strong", "code", "ul", "table"):
        assert names.count(name) == 1
    assert names.count("td") == 2


def test_the_contents_link_to_every_section_once():
    sections = [
        Section("Results"),
        Section("All models", level=2),
        Section("Ablations, 4.7", level=1),
        Section("Results", level=2),
        Section("é", level=2),
    ]
    page = Page(report_html("Report", sections))
    targets = [attributes["id"] for attributes in page.all("section")]
    assert targets == ["results", "all-models", "ablations-4-7", "results-2", "section"]
    assert [link["href"] for link in page.all("a")] == [f"#{target}" for target in targets]
    names = [name for name, _ in page.elements]
    assert names.count("h2") == 2
    assert names.count("h3") == 3


def test_an_interval_stands_under_its_figure():
    page = Page(report_html("R", [Section("S", "", (["m", "x"], [["a", "5.0 [4.0, 6.0] *"]]))]))
    assert page.all("span") == [{"class": "span"}]
    assert page.text[-2:] == ["5.0 ", "[4.0, 6.0] *"]
    assert page.all("th")[-1] == {"scope": "row"}


def test_columns_of_words_stand_left():
    page = Page(report_html("R", [Section("S", "", (["m", "of", "%"], [["a", "us", "1"]]))]))
    assert [cell.get("class") for cell in page.all("td")] == ["words", None]


def test_both_files_are_written_and_nothing_else(tmp_path, picture):
    folder = tmp_path / "report"
    paths = write_report(folder, "Report", [Section("One", figures=[(picture, "c")])])
    assert [path.name for path in paths] == ["report.md", "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md"]
    assert "](../picture.png)" in paths[0].read_text(encoding="utf-8")
    assert paths[1].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_report_that_fails_leaves_the_old_one(tmp_path, picture):
    write_report(tmp_path, "Old", [Section("One")])
    (tmp_path / "text.png").write_text("not a picture")
    for path, message in (("gone.png", "cannot be read"), ("text.png", "neither PNG nor JPEG")):
        with pytest.raises(GeolocError, match=message):
            write_report(tmp_path, "New", [Section("One", figures=[(tmp_path / path, "")])])
    assert "Old" in (tmp_path / "report.html").read_text()
    assert "Old" in (tmp_path / "report.md").read_text()


def test_uneven_tables_and_deep_sections_are_refused():
    with pytest.raises(GeolocError, match="2 columns, but its row 1 has 1"):
        Section("One", "", (["a", "b"], [["1", "2"], ["3"]]))
    with pytest.raises(GeolocError, match="level is 1 or 2"):
        Section("One", level=3)
