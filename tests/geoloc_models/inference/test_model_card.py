"""What a model says of itself: two sentences and a file, shown wherever it answers."""

import json
from types import SimpleNamespace

import pytest
from geoloc_models_bundles import few_places, save_small_bundle
from geoloc_models_small import small_table

from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.scores import Interval
from geoloc_models.inference.model_card import ModelCard, load_model_card, save_model_card
from geoloc_models.photos.images import FileImages

CARD = ModelCard("2026-11-28", {"CH": 40, "SE": 20}, 7, {"25": 45.8, "200": 97.0})


@pytest.fixture
def folder(tmp_path):
    folder = save_small_bundle("cells", small_table(), tmp_path / "bundle")
    save_model_card(CARD, folder)
    return folder


def test_a_card_is_made_of_training_countries_and_an_evaluation():
    shares = {25.0: Interval(45.8, 40.0, 50.0), 2500.0: Interval(100.0, 99.0, 100.0)}
    evaluation = SimpleNamespace(n_test=7, within_km=shares)
    card = ModelCard.of_training(["SE", "CH", "SE"], evaluation)
    assert card.n_photos == {"CH": 1, "SE": 2}
    assert card.within_km == {"25": 45.8, "2500": 100.0}
    assert "3 photos of Sweden and Switzerland" in card.text
    assert card.text.endswith("Of 7 test photos it placed 46 % within 25 km.")


@pytest.mark.parametrize(
    ("n_photos", "words"),
    [
        ({"SE": 1}, "1 photos of Sweden ("),
        (dict.fromkeys("ABCDE", 3), "5 countries, most of A, B, C ("),
    ],
)
def test_its_text_names_where_the_photos_are(n_photos, words):
    assert words in ModelCard("2026-11-28", n_photos, 7, {}).text


def test_answers_say_which_model_gave_them(folder, tmp_path, monkeypatch):
    few_places(monkeypatch)
    photos = small_table(2, folder=tmp_path / "photos")
    model = load_model(folder)
    answers = model.predict(FileImages(photos.frame["path"].to_numpy()))
    content = answers.to_dict()
    assert (content["format"], content["version"]) == ("geoloc-answers", 1)
    assert content["model"]["n_photos"] == {"CH": 40, "SE": 20}
    assert content["model"] == answers.to_geojson()["model"] == model.identity
    assert len(model.identity["weights_sha256"]) == 64
    assert "60 photos of Switzerland and Sweden" in answers.credit
    assert "97 % within 200 km" in repr(model)
    json.dumps(content, allow_nan=False)


def test_answers_are_short_at_a_prompt_and_a_map_in_a_notebook(folder, tmp_path, monkeypatch):
    few_places(monkeypatch)
    photos = small_table(12, folder=tmp_path / "photos")
    answers = load_model(folder).predict(FileImages(photos.frame["path"].to_numpy()))
    lines = repr(answers).splitlines()
    assert lines[0] == "12 photos placed, 0 skipped"
    assert "0.jpg: Place " in lines[1]
    assert lines[-1] == "  and 2 more"
    page = answers._repr_html_()
    assert page.startswith("<table")
    assert "<th>Within 25 km</th>" in page
    assert "more</p>" not in page  # 12 photos fit
    assert "<iframe sandbox" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"date": "soon"},
        {"date": 7},
        {"n_photos": {"S\x1b[31mE": 1}},
        {"n_photos": {"S" * 61: 1}},
        {"n_photos": {"SE": -1}},
        {"n_photos": [1]},
        {"n_test": 1.5},
        {"within_km": {"far": 1.0}},
        {"within_km": {"25": 1e400}},
        {"within_km": {"25": "most"}},
        {"more": 1},
    ],
)
def test_a_garbled_card_is_refused(folder, changes):
    path = folder / "model_card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(GeolocError, match="model_card"):
        load_model_card(folder)


def test_a_bundle_without_a_card_says_nothing(tmp_path):
    model = load_model(save_small_bundle("cells", small_table(), tmp_path / "bundle"))
    assert model.card is None
    assert model.about == ""
    assert set(model.identity) == {"task", "weights_sha256"}
