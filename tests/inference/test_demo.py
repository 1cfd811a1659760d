"""The page of the demo in a real Chromium."""

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import torch
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from mmvisionllama.errors import ExitStatus, InputError
from mmvisionllama.inference.trained_model import TrainedModel
from tests.browser import chromium
from tests.tools.commands import main

if TYPE_CHECKING:
    from mmvisionllama.inference.demo import DemoServer

PATIENCE = 60  # seconds; an answer takes one or two on a quiet machine


@pytest.fixture(scope="module")
def server(models: dict[str, TrainedModel]) -> Iterator["DemoServer"]:
    # Each process of the tests reads this file, and gradio takes two seconds.
    from mmvisionllama.inference.demo import DemoServer

    server, ready = DemoServer(port=0), threading.Event()
    thread = threading.Thread(target=server.run, args=(list(models.values()), ready.set))
    thread.start()
    assert ready.wait(PATIENCE)
    yield server
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def page(server: "DemoServer", tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        browser.get(server.url)
        yield browser


def open_tab(page: webdriver.Chrome, name: str) -> WebElement:
    """Choose a tab, and return its panel."""
    page.set_window_size(1600, 1000)
    found = WebDriverWait(page, PATIENCE).until(
        lambda _: [x for x in page.find_elements(By.CSS_SELECTOR, "button[role=tab]") if x.text == name]
    )
    found[0].click()
    return WebDriverWait(page, PATIENCE).until(
        lambda _: [x for x in page.find_elements(By.CSS_SELECTOR, "[role=tabpanel]") if x.is_displayed()]
    )[0]


def upload(panel: WebElement, file: Path) -> None:
    panel.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))


def pictures(page: webdriver.Chrome, panel: WebElement, number: int) -> list[WebElement]:
    """Wait until as many pictures are loaded."""

    def loaded(_: webdriver.Chrome) -> list[WebElement]:
        shown = [x for x in panel.find_elements(By.TAG_NAME, "img") if x.is_displayed()]
        done = [x for x in shown if page.execute_script("return arguments[0].naturalWidth > 0", x)]
        return done if len(done) == number else []

    return WebDriverWait(page, PATIENCE).until(loaded)


def test_an_uploaded_image_is_predicted_and_its_attention_is_drawn(
    page: webdriver.Chrome, models: dict[str, TrainedModel], photo: Path
) -> None:
    panel = open_tab(page, "Classification")
    upload(panel, photo)
    pictures(page, panel, 3)  # what was given, prediction, rollout
    assert models["classification"].predict(photo).name in panel.text
    assert "%" in panel.text


def test_a_corrupt_upload_gives_a_message(page: webdriver.Chrome, tmp_path: Path, photo: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:200])
    panel = open_tab(page, "Segmentation")
    upload(panel, broken)
    problem = WebDriverWait(page, PATIENCE).until(
        lambda _: [x for x in panel.find_elements(By.CSS_SELECTOR, ".problem") if x.is_displayed()]
    )[0]
    assert problem.text.startswith("broken.jpg cannot be read:")
    assert "Traceback" not in page.page_source


def test_a_model_without_rollout_says_so_and_predicts(page: webdriver.Chrome, photo: Path) -> None:
    panel = open_tab(page, "Detection")
    assert "There is no attention rollout of this model" in panel.text
    upload(panel, photo)
    pictures(page, panel, 2)


def test_images_are_generated_of_a_class_and_a_seed(page: webdriver.Chrome) -> None:
    panel = open_tab(page, "Generation")
    next(x for x in panel.find_elements(By.TAG_NAME, "button") if x.text == "Generate").click()
    pictures(page, panel, 1)


def test_the_page_asks_nobody_but_its_server(page: webdriver.Chrome, server: "DemoServer") -> None:
    """Runs after the others, when all parts of the page are loaded."""
    asked = page.execute_script("return performance.getEntriesByType('resource').map(x => x.name)")
    assert len(asked) > 20
    assert [x for x in asked if not x.startswith((server.url, "blob:", "data:"))] == []


def test_no_file_of_the_machine_is_served(server: "DemoServer") -> None:
    for path in (Path(__file__), Path("README.md").resolve(), "/etc/hostname"):
        assert requests.get(f"{server.url}gradio_api/file={path}", timeout=PATIENCE).status_code in (403, 404)


def test_only_this_machine_is_listened_to_by_default_and_a_taken_port_is_refused(
    server: "DemoServer",
) -> None:
    from mmvisionllama.inference.demo import DemoServer

    assert server.url.startswith("http://127.0.0.1:")
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(InputError, match=rf"127.0.0.1:{port} .*in use; give .*--port"):
        DemoServer(port=port)
    with pytest.raises(InputError, match=r"nowhere.invalid:1 "):
        DemoServer(host="nowhere.invalid", port=1)


def test_the_command_names_a_taken_port_a_checkpoint_without_config_and_a_missing_gradio_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "weights.pth")

    def told(*options: str) -> str:
        assert main("demo", tmp_path / "weights.pth", *options) == ExitStatus.USER_ERROR
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x]
        return line

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} cannot be listened at" in told("--port", port)
    assert "weights.pth does not say what model it is of; give the config" in told(
        "--port", port
    )  # free again
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "mmvisionllama.inference.demo")
    assert "gradio is not installed;" in (line := told()) and 'mmvisionllama[demo]"' in line
