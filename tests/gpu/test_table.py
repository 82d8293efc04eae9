"""The table of `make gpu`, at sizes for a CPU."""

from tests.gpu.__main__ import Sizes, table


def test_the_table_has_a_row_for_each_thing_measured():
    sizes = Sizes(("tiny",), photos=40, batch_size=16, epochs=1, steps=1, rows=250, head_epochs=3)
    title, _, encoder, *features = table(sizes).splitlines()
    assert title.startswith("no card: cpu")
    assert encoder.split()[0] == "tiny"
    assert all(float(word.rstrip("%")) > 0 for word in encoder.split()[1:-1])
    assert [line.split()[0] for line in features] == ["cells", "retrieval"]
