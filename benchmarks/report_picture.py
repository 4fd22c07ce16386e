"""The picture of the report's first screen that the README shows: docs/assets/report.png.

python benchmarks/report_picture.py [results/report/index.html]
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "docs/assets/report.png"

page = Path(sys.argv[1] if len(sys.argv) > 1 else "results/report/index.html").resolve()
with sync_playwright() as playwright:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
    tab = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme="light")
    tab.goto(page.as_uri())
    tab.wait_for_selector("#plot svg")
    bottom = tab.locator("#budget").evaluate("section => section.getBoundingClientRect().bottom")
    tab.screenshot(path=PICTURE, clip={"x": 0, "y": 0, "width": 1300, "height": bottom + 20})
    browser.close()
print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} KiB")
