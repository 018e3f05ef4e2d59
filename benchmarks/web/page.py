"""From the slider to the first new token, first paint, and the page's own memory.

    python -m benchmarks.web.page [--model smollm2] [--rounds 5]

Starts ``tiltlm ui`` in a process of its own and a headless browser. *Beside the model* is what the
process holds after it has drawn, less what a process holds that loads the same model by the library
and draws as many tokens. Needs the extras ``ui`` and ``ui-dev``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIBRARY_ALONE = """
import sys, torch, tiltlm
from tiltlm.models.loading import load
loaded = load(sys.argv[1])
tiltlm.sample(loaded.model, torch.zeros(1, 1, dtype=torch.long), 40)
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""


def held(process: int) -> float:
    """MiB resident of a process and its children."""
    pids, kilobytes = [process], 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        kilobytes += int(found[1]) if found else 0
        pids += [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return kilobytes / 1024


def slid(page: Any, value: float) -> float:
    """Seconds from a new strength until the tilted side's first new token is on the screen."""
    drawn = page.locator("#weigh-tilted button.token").count()
    box = page.locator("#weigh-strength input[type=number]")
    box.fill(f"{value:g}")
    begin = time.perf_counter()
    box.press("Enter")
    # All 40 tokens of before stand there until the first new one takes their place.
    page.wait_for_function(
        "drawn => { const now = document.querySelectorAll('#weigh-tilted button.token').length;"
        " return 0 < now && now < drawn; }",
        arg=drawn, polling=20,
    )  # fmt: skip
    return time.perf_counter() - begin


def main() -> None:
    """Measure, and print a line a figure."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    library = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIBRARY_ALONE, given.model],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    alone = int(library.stdout.split()[-1]) / 1024
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "tiltlm", "ui", "--folder", folder, "--port", "7879"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("open ").strip()
            print(f"before any model: {held(server.pid):.0f} MiB")
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            paints = []
            for _ in range(given.rounds):
                begin = time.perf_counter()
                page = browser.new_page()
                page.set_default_timeout(300_000)
                page.goto(address)
                page.wait_for_selector("#load-event")
                paints.append(time.perf_counter() - begin)
            print(f"first paint: {statistics.median(paints):.2f} s (of {given.rounds})")
            page.locator("#load-model input").first.fill(given.model)
            page.keyboard.press("Enter")
            page.locator("#load-event textarea, #load-event input").first.fill("contains('x')")
            page.click("#load-go")
            page.locator("#load-answer").get_by_text("contains('x')").first.wait_for()
            page.locator("#tab-weigh-button, [role=tab]").nth(1).click()
            page.click("#weigh-go")
            page.wait_for_selector("#weigh-tilted .token")
            page.get_by_text("of 40 tokens are in the event").nth(1).wait_for()
            seconds = []
            for number in range(given.rounds):
                seconds.append(slid(page, 2 + number / 2))
                page.wait_for_timeout(15_000)
            print(
                f"slider to first new token: {statistics.median(seconds):.2f} s "
                f"({min(seconds):.2f} to {max(seconds):.2f})"
            )
            now = held(server.pid)
            print(f"page: {now:.0f} MiB, library alone: {alone:.0f}, beside: {now - alone:.0f} MiB")
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
