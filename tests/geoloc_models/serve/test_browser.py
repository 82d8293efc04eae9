"""The page in a real browser: a photo goes in, the answer and its map appear."""

import base64
import json

import pytest
from geoloc_models_browser import chromium
from geoloc_models_bundles import few_places
from geoloc_models_download import quick
from geoloc_models_serve import SVG, photo, served, small_placer
from PIL import Image

from geoloc_models.inference.map import MappedPhoto, draw_map
from geoloc_models.inference.model_card import ModelCard
from geoloc_models.serve import Limits, read_examples

PATIENCE = 60  # seconds; two cores may be busy with other tests


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    placer = small_placer(tmp_path_factory.mktemp("placer"), limits=Limits(megabytes=0.5))
    with pytest.MonkeyPatch.context() as patch:
        few_places(patch)
        with served(placer) as port:
            yield port


@pytest.fixture(scope="module")
def browser(port):
    with chromium() as browser:
        browser.get(f"http://127.0.0.1:{port}/")
        wait_for(browser, lambda: found(browser, "#drop input[type=file]"))
        yield browser


def wait_for(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE).until(lambda _: condition())


def found(browser, selector):
    return browser.find_elements("css selector", selector)


def text_of(browser, selector):
    return " ".join(own.text for own in found(browser, selector))


def put_in(browser, path, content):
    path.write_bytes(content)
    found(browser, "#drop input[type=file]")[0].send_keys(str(path))


def test_a_photo_gets_its_answer_and_a_visible_map(browser, tmp_path):
    put_in(browser, tmp_path / "photo.jpg", photo())
    wait_for(browser, lambda: "within 25 km" in text_of(browser, "#answer h2"))
    assert "321 km" not in text_of(browser, "#answer")  # folded away
    found(browser, "#answer > details > summary")[0].click()
    answer = text_of(browser, "#answer details")
    assert "321 km" in answer
    assert "Nearest training photos" in answer
    (picture,) = found(browser, ".answer img")
    assert browser.execute_script("return arguments[0].naturalWidth", picture) == 60
    (chart,) = found(browser, "#map")
    assert chart.size["width"] > 300
    assert chart.size["height"] > 300
    wait_for(browser, lambda: found(browser, ".leaflet-marker-icon img"))
    wait_for(browser, lambda: n_drawn(browser) > 1000)  # pixels of borders, cells, radius
    assert found(browser, ".leaflet-control-zoom-in")[0].is_displayed()
    shown = found(browser, ".leaflet-image-layer")[0]
    assert browser.execute_script("return arguments[0].naturalWidth", shown) > 0
    wait_for(browser, lambda: clicked(found(browser, ".leaflet-marker-icon img")[0]))
    wait_for(browser, lambda: "Your photo" in text_of(browser, ".leaflet-popup-content"))


def test_a_photo_may_be_dropped_anywhere_but_one_at_a_time(browser, tmp_path):
    put_in(browser, tmp_path / "text.jpg", b"no photo")
    wait_for(browser, lambda: found(browser, "#status.error"))
    assert not found(browser, "#map .leaflet-map-pane")
    drop(browser, 2)
    wait_for(browser, lambda: "One photo at a time" in text_of(browser, "#status.error"))
    assert not found(browser, "#map .leaflet-map-pane")
    drop(browser, 1)
    wait_for(browser, lambda: found(browser, "#answer h2"))
    assert text_of(browser, "#status") == ""
    assert browser.current_url.startswith("http://127.0.0.1:")


def clicked(element):
    """Click, unless the map is still moving and hides what it will show."""
    from selenium.common.exceptions import ElementNotInteractableException

    try:
        element.click()
    except ElementNotInteractableException:
        return False
    return True


def drop(browser, n_files):
    """Let go of copies of a photo over the page's heading."""
    browser.execute_script(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const dataTransfer = new DataTransfer();"
        "for (let i = 0; i < arguments[1]; i++) {"
        "  dataTransfer.items.add(new File([bytes], `${i}.jpg`));"
        "}"
        "const options = { dataTransfer, bubbles: true, cancelable: true };"
        "document.querySelector('h1').dispatchEvent(new DragEvent('drop', options));",
        base64.b64encode(photo()).decode(),
        n_files,
    )


def n_drawn(browser):
    """Pixels of the map's canvases that bear something."""
    return browser.execute_script(
        "return [...document.querySelectorAll('canvas')].reduce((sum, own) => sum + own.getContext"
        "('2d').getImageData(0, 0, own.width, own.height).data.filter((v, i) => i % 4 == 3 && v)"
        ".length, 0)"
    )


def test_a_script_that_got_into_the_page_does_not_run(browser, tmp_path):
    put_in(browser, tmp_path / "photo.jpg", photo())
    wait_for(browser, lambda: found(browser, "#answer h2"))
    ran = browser.execute_async_script(
        "const done = arguments[0];"
        "document.getElementById('answer').innerHTML ="
        "  '<img src=data:,x onerror=\"window.hostile = true\">';"
        "setTimeout(() => done(Boolean(window.hostile)), 500);"
    )
    assert ran is False
    browser.get_log("browser")  # what was refused here is no fault


def test_a_saved_map_works_alone_and_shows_a_hostile_name_as_text(browser, tmp_path):
    name = "<img src=x onerror=window.hostile=true>.jpg"
    pixels = Image.new("RGB", (40, 30))
    mapped = [
        MappedPhoto(name, 47.4, 8.5, ((name, name),), pixels, 60.0),
        MappedPhoto("b.jpg", 47.6, 9.5, (), None, 30.0, exif=(47.0, 7.5)),
    ]
    page = tmp_path / "map.html"
    draw_map(mapped, tiles=None, credit="a long credit " * 30).save(page)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    try:
        browser.get(f"file://{page}")
        wait_for(browser, lambda: n_drawn(browser) > 1000)
        choices = text_of(browser, ".leaflet-control-layers")
        assert name in choices
        assert "b.jpg" in choices
        (legend,) = found(browser, ".map-legend")
        assert legend.size["width"] < 320  # it does not hide the map
        assert legend.get_property("open")
        assert browser.execute_script("return Boolean(window.hostile)") is False
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        browser.close()
        browser.switch_to.window(first)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.jpg", photo()[:900], "The file cannot be decoded"),
        ("text.jpg", b"no photo", "The file is not an image of a known kind"),
        ("drawing.svg", SVG, "The file is not an image of a known kind"),
        ("empty.png", b"", "The file is empty"),
        ("large.jpg", bytes(500_001), "larger than the 0.5 MB"),
    ],
)
def test_a_broken_file_gives_a_message_and_no_answer(browser, tmp_path, name, content, said):
    put_in(browser, tmp_path / name, content)
    wait_for(browser, lambda: said in text_of(browser, "#status.error"))
    wait_for(browser, lambda: not found(browser, "#map .leaflet-map-pane"))
    assert text_of(browser, "#answer").strip() == ""


@pytest.fixture(scope="module")
def offers(tmp_path_factory, port):
    """Port of a page with examples and an address field, which knows what it was trained on."""
    folder = tmp_path_factory.mktemp("offers")
    (folder / "photo.jpg").write_bytes(photo(size=(300, 200)))
    placer = small_placer(folder)
    placer.model.card = ModelCard("2026-11-28", {"SE": 12, "CH": 12}, 9, {"25": 44.4, "200": 90.0})
    with served(placer, examples=read_examples(folder / "photo.jpg"), addresses=quick()) as own:
        yield own


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_phones_and_screens(browser, offers, tmp_path, width, theme):
    def emulate(command, **options):
        browser.execute_cdp_cmd(f"Emulation.{command}", options)

    is_phone = width < 500
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": is_phone}
    emulate("setDeviceMetricsOverride", **size)
    emulate("setTouchEmulationEnabled", enabled=is_phone)
    emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    try:
        browser.get(f"http://127.0.0.1:{offers}/")
        assert "Switzerland" in text_of(browser, ".card summary")
        (camera,) = found(browser, "input[capture=environment]")
        assert camera.find_element("xpath", "..").is_displayed() == is_phone
        wait_for(browser, lambda: found(browser, "#examples img")[0].get_property("naturalWidth"))
        address = f"http://127.0.0.1:{offers}/examples/0.jpg\n"
        for offer in ("#examples button", "#address input"):
            (own,) = found(browser, offer)
            own.click() if "button" in offer else own.send_keys(address)
            wait_for(browser, lambda: found(browser, "#answer h2"))
            wait_for(browser, lambda: n_drawn(browser) > 1000)
            assert found(browser, ".map-legend")[0].get_property("open") is not is_phone
            for fold in found(browser, "summary"):
                if fold.find_element("xpath", "..").get_attribute("open") is None:
                    fold.click()
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path = tmp_path / f"serve-{width}-{theme}.png"  # to be looked at
        path.write_bytes(base64.b64decode(whole["data"]))
        with Image.open(path) as picture:
            assert width - 20 < picture.width <= width  # less a scroll bar
            corner = picture.convert("L").getpixel((2, 2))
        assert corner < 50 if theme == "dark" else corner > 200
    finally:
        for command in ("clearDeviceMetricsOverride", "setEmulatedMedia"):
            emulate(command)
        emulate("setTouchEmulationEnabled", enabled=False)


def test_the_page_asks_nobody_else(browser):
    """Last in this file: judges all that the browser asked for before."""
    asked, faults = [], []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])
        event = message["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.append(event["params"]["request"]["url"])
    for entry in browser.get_log("browser"):
        if entry["level"] == "SEVERE" and "/place" not in entry["message"]:
            faults.append(entry["message"])
    elsewhere = [
        url
        for url in asked
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "chrome", "about:", "file:"))
    ]
    assert any("/place" in url for url in asked)
    assert elsewhere == []
    assert faults == []
