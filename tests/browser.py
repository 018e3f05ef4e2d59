"""Headless Chromium for tests of pages; where it is missing they are skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
WIDTHS = (1440, 768, 360)
"""Pixels of the screens that pages are made for."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright's."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright (extra dev)")
    if not CHROMIUM.exists():
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


def serious_faults(page: Any) -> list[str]:
    """What axe-core calls serious or critical on an open page, a line each."""
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("no axe-core (axe-playwright-python, of the extra ui-dev)")
    page.evaluate((Path(spec.origin).parent / "axe.min.js").read_text())
    violations = page.evaluate("axe.run().then(result => result.violations)")
    return [
        f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}"
        for v in violations
        if v["impact"] in ("serious", "critical")
    ]
