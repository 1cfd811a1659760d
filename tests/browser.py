"""A headless Chromium, for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver

REQUIRED = "MMVISIONLLAMA_REQUIRE_CHROMIUM"  # set where a missing browser is a failure, as .ci/run does
PROGRAMS = ("chromium", "chromedriver")


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser that keeps what pages log; without one on this machine, skip or fail the test.

    Args:
        folder: Of the browser's own files.
    """
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        message = f"{', '.join(lacking)} missing, which Debian has in chromium and chromium-driver"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")  # root has none
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()
