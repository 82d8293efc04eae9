"""The page of a map in a real browser, without a network."""

import pytest
from geoloc_models_browser import chromium

from geocells import CellBuilder

pytest.importorskip("selenium")


def test_a_cell_tells_its_group_as_text_and_runs_nothing(tmp_path):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    name = "<img src=x onerror=document.title='run'>"
    cells = CellBuilder(1, method="consolidated").fit([(47.0, 8.0)], groups=[name]).cells_
    cells.explore(tiles=None, locations=False).save(tmp_path / "map.html")
    with chromium() as browser:
        browser.get((tmp_path / "map.html").as_uri())
        (holder,) = browser.find_elements("css selector", "#map")
        ActionChains(browser).move_to_element(holder).move_by_offset(3, 3).perform()
        (tooltip,) = WebDriverWait(browser, 60).until(
            lambda _: browser.find_elements("css selector", ".leaflet-tooltip")
        )
        assert tooltip.text.split("\n") == ["cell 0", f"group {name}", "images 1", "level 0"]
        assert browser.title == "Cells"
        layers = browser.find_elements("css selector", ".leaflet-control-layers label")
        assert [layer.text.strip() for layer in layers] == ["cells"]


def test_a_map_in_a_frame_that_is_shown_later_shows_its_cells(tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    cells = CellBuilder(1, method="consolidated").fit([(47.0, 8.0), (60.0, 20.0)]).cells_
    cells.explore(tiles=None).save(tmp_path / "map.html")
    (tmp_path / "page.html").write_text("<iframe src='map.html' style='display: none'></iframe>")
    with chromium() as browser:
        browser.get((tmp_path / "page.html").as_uri())
        (frame,) = browser.find_elements("css selector", "iframe")
        browser.execute_script("arguments[0].style = 'width: 600px; height: 400px'", frame)
        browser.switch_to.frame(frame)
        scales = WebDriverWait(browser, 60).until(
            lambda _: browser.find_elements("css selector", ".leaflet-control-scale-line")
        )
        WebDriverWait(browser, 60).until(lambda _: scales[0].text in ("300 km", "500 km"))
