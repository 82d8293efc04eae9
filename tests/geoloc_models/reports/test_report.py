"""The report: its HTML read back by an HTML parser, its Markdown block by block."""

import base64
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from geoloc_models.errors import GeolocError
from geoloc_models.reports import Section, Table, write_report

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
    figure.savefig(tmp_path / "a picture.png")
    return tmp_path / "a picture.png"


@pytest.fixture
def written(tmp_path):
    """Function that writes a report, and gives its page and its Markdown."""

    def write(*sections, title="Report"):
        markdown, page = write_report(tmp_path / "report", title, sections)
        return Page(page.read_text(encoding="utf-8")), markdown.read_text(encoding="utf-8")

    return write


def test_pictures_are_inside_the_page_and_linked_from_the_markdown(written, picture, tmp_path):
    page, markdown = written(Section("One", figures=[(picture, "A [caption]"), (picture, "")]))
    image = page.all("img")[0]
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == picture.read_bytes()
    assert image["alt"] == "A [caption]"
    assert "A [caption]" in page.text
    assert "![A \\[caption\\]](../a%20picture.png)" in markdown
    assert "![](../a%20picture.png)" in markdown
    assert str(tmp_path) not in markdown


def test_plain_text_is_escaped_everywhere(written, picture):
    bad = '<script>alert("1")</script> & "quotes"'
    section = Section(bad, "", Table([bad, bad], [[bad, bad]]), [(picture, bad)])
    page, markdown = written(section, title=bad)
    assert not page.all("script")
    # Title twice; the section in the contents and as heading; four cells; one caption.
    assert page.text.count(bad) == 9
    assert page.all("img")[0]["alt"] == bad
    assert "<script>" not in markdown


def test_html_and_foreign_pictures_in_markdown_are_not_let_through(written):
    text = "<img src=x onerror=alert(1)> ![p](https://example.org/p.png) [l](javascript:alert(1))"
    page, _ = written(Section("One", text))
    assert not page.all("img")
    assert not any("javascript" in link.get("href", "") for link in page.all("a"))


def test_nothing_is_fetched_and_no_script_runs(written, picture):
    page, _ = written(Section("One", "Text", figures=[(picture, "")]))
    assert not page.all("script") + page.all("link")
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_markdown_of_the_text_is_rendered(written):
    text = "Some **bold** and `code`.\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"
    page, markdown = written(Section("One", text))
    names = [name for name, _ in page.elements]
    for name in ("strong", "code", "ul", "table"):
        assert names.count(name) == 1
    assert names.count("td") == 2
    assert text.strip() in markdown


def test_the_contents_link_to_every_section_once(written):
    page, _ = written(
        Section("Results"),
        Section("All models", level=2),
        Section("Ablations, 4.7"),
        Section("Results", level=2),
        Section("é", level=2),
    )
    targets = [attributes["id"] for attributes in page.all("section")]
    assert targets == ["results", "all-models", "ablations-4-7", "results-2", "section"]
    assert [link["href"] for link in page.all("a")] == [f"#{target}" for target in targets]
    names = [name for name, _ in page.elements]
    assert (names.count("h2"), names.count("h3")) == (2, 3)


def test_a_cell_has_its_interval_under_its_figure_and_words_stand_left(written):
    rows = [["a", "us", "5.0 [4.0, 6.0] *"]]
    page, _ = written(Section("S", table=Table(["m", "of", "x"], rows)))
    assert page.all("span") == [{"class": "span"}]
    assert page.text[-2:] == ["5.0 ", "[4.0, 6.0] *"]
    assert page.all("th")[-1] == {"scope": "row"}
    assert [cell.get("class") for cell in page.all("td")] == ["words", None]


def test_a_section_of_the_markdown_has_its_parts_in_order(written, picture):
    table = Table(["x", "y"], [["1", "2"]])
    second = Section("Two", "Some *text*.", table, [(picture, "")], level=2)
    _, markdown = written(Section("One"), second, title="Title")
    blocks = markdown.rstrip("\n").split("\n\n")
    assert blocks[:4] == ["# Title", "## One", "### Two", "Some *text*."]
    assert blocks[4].startswith("| x")
    assert blocks[5:] == ["![](../a%20picture.png)"]


def test_a_report_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    folder = tmp_path / "report"
    write_report(folder, "Old", [Section("One")])
    (tmp_path / "text.png").write_text("not a picture")
    for name, message in (("gone.png", "cannot be read"), ("text.png", "neither PNG nor JPEG")):
        with pytest.raises(GeolocError, match=message):
            write_report(folder, "New", [Section("One", figures=[(tmp_path / name, "")])])
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md"]
    assert all("Old" in path.read_text() for path in folder.iterdir())


def test_uneven_tables_are_refused():
    with pytest.raises(GeolocError, match="2 columns, but its row 1 has 1"):
        Table(["a", "b"], [["1", "2"], ["3"]])
