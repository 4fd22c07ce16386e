"""How long the page of a large report takes to open, and how large it is: 40 nets, 6 image sets, 3 devices.

    PYTHONPATH=tests/reporting python benchmarks/report_page.py [a page of your own]

Opened in headless Chromium, each time in a fresh context. A page is open when its plot, its table and its images are
there.
"""

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from made_results import LARGE_DEVICES, on_devices, write_large, write_page
from playwright.sync_api import sync_playwright

from pipeline_src import config, paths
from pipeline_src.reporting import data

OPEN = "document.querySelector('#plot svg') && document.querySelector('#measurements tbody tr')"
TIMES = 7


def large_page(folder: Path) -> Path:
    write_large(folder / "repository")
    with contextlib.chdir(folder / "repository"):
        measured = data.read(config.load(), paths.PARAMS.read_text())
        begin = time.perf_counter()
        page = write_page(on_devices(measured, LARGE_DEVICES), folder / "report")
        print(f"written in {time.perf_counter() - begin:.1f} s")
    return page


def seconds_to_open(page: Path) -> list[float]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in (1300, 390):
            for _ in range(TIMES):
                tab = browser.new_context(viewport={"width": width, "height": 900}).new_page()
                begin = time.perf_counter()
                tab.goto(page.as_uri(), wait_until="load")
                tab.wait_for_function(OPEN)
                seconds.append(time.perf_counter() - begin)
                tab.context.close()
            print(
                f"{width} px: median {statistics.median(seconds[-TIMES:]):.2f} s, slowest {max(seconds[-TIMES:]):.2f} s"
            )
        browser.close()
    return seconds


os.environ["SR_TRACKING"] = "off"
with tempfile.TemporaryDirectory() as scratch:
    page = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else large_page(Path(scratch))
    print(f"{page.stat().st_size / 2**20:.1f} MiB")
    seconds_to_open(page)
    if len(sys.argv) == 1 and (keep := os.environ.get("KEEP")):
        shutil.copy(page, keep)
