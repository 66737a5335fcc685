"""What a person would see, asked of the browser."""

from __future__ import annotations

import time
from typing import Any

# WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio. Colours are blended over what stands behind them.
_CONTRAST = """
within => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.background = "Canvas";
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const canvas = parse(getComputedStyle(probe).backgroundColor);
  probe.remove();
  const over = (top, below, alpha) => [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    if (!element) return canvas.slice(0, 3);
    const own = parse(getComputedStyle(element).backgroundColor);
    return over(own, behind(element.parentElement), own[3]);
  };
  const dim = element => element ? getComputedStyle(element).opacity * dim(element.parentElement) : 1;
  const poor = [];
  let seen = 0;
  for (const element of document.querySelectorAll(within + " *")) {
    const own = [...element.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
    if (!own || !element.checkVisibility() || element.localName === "style") continue;
    const style = getComputedStyle(element);
    const drawn = element.namespaceURI.endsWith("svg");
    // The numbers inside a picture's cells have the colour that the cell needs: see the tests of the pictures.
    if (drawn && style.fill !== style.color) continue;
    const ink = parse(drawn ? style.fill : style.color);
    const back = behind(element);
    const [a, b] = [light(over(ink, back, ink[3] * dim(element))), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (ratio < 4.5) poor.push([element.localName, element.textContent.slice(0, 40), ratio]);
  }
  return [seen, poor];
}
"""

_TOO_WIDE = """
() => [...document.querySelectorAll("body *")].filter(element => {
  if (!element.checkVisibility() || element.closest("svg") && element.localName !== "svg") return false;
  const scrolls = element.parentElement.closest(".scroll, figure, pre");
  return !scrolls && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map(element => element.localName + ": " + element.textContent.slice(0, 40))
"""


def assert_readable(page: Any, least: int = 20, within: str = "body") -> None:
    """Every text has a contrast of at least 4.5."""
    seen, poor = page.evaluate(_CONTRAST, within)
    assert seen >= least
    assert poor == []


def assert_fits(page: Any) -> None:
    """Nothing is wider than the window but what scrolls by itself."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(_TOO_WIDE) == []


_CUT_OFF = """
() => [...document.querySelectorAll("figure text")].filter(text => {
  const it = text.getBoundingClientRect(), figure = text.closest("figure"), box = figure.getBoundingClientRect();
  const hidden = getComputedStyle(text.ownerSVGElement).overflow !== "visible";
  const svg = text.ownerSVGElement.getBoundingClientRect();
  const right = hidden ? svg.right : box.left + figure.scrollWidth;
  return it.left < box.left - 1 || it.right > right + 1;
}).map(text => text.textContent)
"""


def assert_whole(page: Any) -> None:
    """No word of a picture is cut off."""
    assert page.evaluate(_CUT_OFF) == []


def wait_until(page: Any, condition: str, patience: float = 60.0) -> None:
    """Waits for the browser; Playwright's own waiting would need a page that may run scripts from text."""
    end = time.monotonic() + patience
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"this never came: {condition}"
        page.wait_for_timeout(20)
