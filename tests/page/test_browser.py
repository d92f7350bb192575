"""The report page as a reader has it: in a real Chromium, on a laptop and a phone, light and dark, by keyboard, on paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]  # one Chromium, pages made once

LAPTOP, PHONE = (1280, 800), (390, 844)
NAMES = ("compile", "check", "optimize")


class Reader:
    """A tab that notes what a page should not do: errors, and requests to anybody."""

    def __init__(self, browser: Browser, file: Path, size: tuple[int, int], scheme: str, script: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=script,
        )
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.goto(file.as_uri())

    def _request(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.complaints.append(url)


Read = Callable[..., Reader]
"""Opens a page by name, and then perhaps its size, scheme and whether scripts run."""


@pytest.fixture
def reader(browser: Browser, pages: dict[str, Path]) -> Iterator[Read]:
    opened: list[Reader] = []

    def read(name: str, size: tuple[int, int] = LAPTOP, scheme: str = "light", script: bool = True) -> Reader:
        opened.append(Reader(browser, pages[name], size, scheme, script))
        return opened[-1]

    yield read
    for one in opened:
        one.context.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_page_fits_and_is_silent(reader: Read, name: str, size: tuple[int, int]) -> None:
    """Law: nothing is wider than the screen, the verdict is on the first, nothing is logged, nobody is asked for anything."""
    seen = reader(name, size)
    width = seen.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    box = seen.page.locator(".verdict").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < size[1]
    assert seen.complaints == []


IN_VIEW = """one => {
  const own = one.getBoundingClientRect(), pane = one.parentElement.getBoundingClientRect();
  return own.top >= pane.top - 1 && own.bottom <= pane.bottom + 1;
}"""


def test_lines_light_up_together(reader: Read) -> None:
    """Law: choosing a line of AppNet lights lines of the C and of the bytecode, and they come into view."""
    page: Page = reader("compile").page
    line = page.locator(".code").nth(0).locator("li", has_text="tokens - 1.0")
    line.click()
    panes = page.locator(".pane")
    for at, text in ((1, "fx_sub"), (2, "")):
        lit = panes.nth(at).locator("li.lit")
        assert lit.count() >= 1, f"nothing lit in pane {at}"
        assert text in lit.first.inner_text()
        assert lit.first.evaluate(IN_VIEW), f"what is lit in pane {at} is out of view"
    line.click()
    assert page.locator("li.lit").count() == 0


def test_the_page_can_be_read_with_the_keyboard_alone(reader: Read) -> None:
    """Law: Tab comes to the listings; arrows move and light; Esc lets go; the theme is a button."""
    page: Page = reader("compile").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('code')"):
            break
    assert page.evaluate("document.activeElement.getAttribute('role')") == "listbox"
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    assert page.locator("li.lit").count() >= 2
    chosen = page.locator('[aria-selected="true"]')
    assert chosen.count() == 1
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')") == chosen.get_attribute("id")
    page.keyboard.press("Escape")
    assert page.locator("li.lit").count() == 0
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


CONTRASTS = """() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c; } return "rgb(255,255,255)"; };
  const out = {};
  for (const e of document.querySelectorAll("p, li, td, th, dt, dd, h1, h2, h3, small, a, span, strong, button, pre")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const name = e.tagName + "." + e.className;
    out[name] = Math.min(out[name] ?? 99, ratio);
  }
  return out;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_text_stands_out_from_its_ground(reader: Read, name: str, scheme: str) -> None:
    """Law: every text has a contrast of 4.5 or more with what is behind it (WCAG 2.2, 1.4.3), in both schemes."""
    page: Page = reader(name, scheme=scheme).page
    found = page.evaluate(CONTRASTS)
    assert {kind: round(ratio, 2) for kind, ratio in found.items() if ratio < 4.5} == {}


def test_it_prints(reader: Read) -> None:
    """Law: the printed page has every line of every listing: nothing is hidden in a scrolled box."""
    page: Page = reader("compile").page
    page.emulate_media(media="print")
    cut = page.evaluate(
        "[...document.querySelectorAll('.code')].filter((one) => one.scrollHeight > one.clientHeight + 2).length"
    )
    assert cut == 0
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2


def test_without_scripts_all_is_there(reader: Read) -> None:
    """Law: scripts add highlighting and nothing else: text is the same without them."""
    with_script, without = reader("check").page, reader("check", script=False).page
    assert without.locator("main").inner_text() == with_script.locator("main").inner_text()
