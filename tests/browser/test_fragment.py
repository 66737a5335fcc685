"""The report in a notebook: a part of a page that has a style of its own."""

from __future__ import annotations

import pytest

from tests.browser.looks import assert_fits, assert_readable

# What JupyterLab 4 says of tables, code and headings in an output, with its colours written out.
JUPYTERLAB = """
.jp-RenderedHTMLCommon { color: %(ink)s; font: 14px/20px sans-serif; padding-right: 20px; }
.jp-RenderedHTMLCommon table { border-collapse: collapse; border-spacing: 0; border: none; font-size: 12px;
  table-layout: fixed; margin-left: auto; margin-bottom: 1em; margin-right: auto; }
.jp-RenderedHTMLCommon thead { border-bottom: 1px solid; vertical-align: bottom; }
.jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th, .jp-RenderedHTMLCommon tr {
  vertical-align: middle; padding: 0.5em; line-height: normal; white-space: normal; max-width: none; border: none; }
:not(.jp-RenderedMarkdown).jp-RenderedHTMLCommon td, :not(.jp-RenderedMarkdown).jp-RenderedHTMLCommon th {
  text-align: right; }
.jp-RenderedHTMLCommon tbody tr:nth-child(odd) { background: %(ground)s; }
.jp-RenderedHTMLCommon tbody tr:nth-child(even) { background: %(stripe)s; }
.jp-RenderedHTMLCommon pre, .jp-RenderedHTMLCommon code { border: 0; background-color: %(ground)s; color: %(ink)s;
  font-size: 13px; line-height: 1.3; padding: 0; white-space: pre-wrap; }
.jp-RenderedHTMLCommon h1, .jp-RenderedHTMLCommon h2, .jp-RenderedHTMLCommon h3 { line-height: 1; margin: 0; }
.jp-RenderedHTMLCommon a:link { text-decoration: none; color: #1976d2; }
"""
THEMES = {
    "light": {"ink": "rgba(0, 0, 0, 0.87)", "ground": "#ffffff", "stripe": "#f5f5f5"},
    "dark": {"ink": "rgba(255, 255, 255, 0.87)", "ground": "#111111", "stripe": "#424242"},
}
# Elements of the notebook that a style of ours could reach.
BYSTANDERS = """
<div class="jp-RenderedHTMLCommon" id="bystanders"><h1>a</h1><h2>b</h2><h3>c</h3><p>d <a href="#x">e</a></p>
<pre><code>f</code></pre><table><thead><tr><th>g</th></tr></thead><tbody><tr><td>h</td></tr></tbody></table>
<ul><li>i</li></ul><dl><dt>j</dt><dd>k</dd></dl><details><summary>l</summary>m</details><span class="tag error">n
</span><figure><svg width="9" height="9"><path d="M0 0L9 9" stroke="red"/><text>o</text></svg></figure></div>
"""
STYLES = """
() => [...document.querySelectorAll("#bystanders, #bystanders *")].map(
  one => { const style = getComputedStyle(one); return [...style].map(name => name + ":" + style[name]).join(";") })
"""


def notebook(folder, theme, *fragments):
    """A page as a notebook makes it, as a file."""
    outputs = "".join(f'<div class="jp-RenderedHTMLCommon jp-RenderedHTML">{one}</div>' for one in fragments)
    path = folder / f"notebook {theme} {len(fragments)}.html"
    style = JUPYTERLAB % THEMES[theme]
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>n</title><style>{style}'
        f"body {{ background: {THEMES[theme]['ground']}; }}</style><body>{BYSTANDERS}{outputs}",
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["sick", "advised", "hostile"])
def test_it_is_readable_in_light_and_dark(saved, open_page, tmp_path, name, theme):
    page = open_page(notebook(tmp_path, theme, saved[name].report._repr_html_()), width=900)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert_readable(page, within=".batchaudit")
    assert_fits(page)


def test_its_style_reaches_nothing_else(saved, open_page, tmp_path):
    alone = open_page(notebook(tmp_path, "light")).evaluate(STYLES)
    beside = open_page(notebook(tmp_path, "light", saved["sick"].report._repr_html_())).evaluate(STYLES)
    assert len(alone) > 20
    assert beside == alone


def test_the_notebooks_style_does_not_undo_its_own(saved, open_page, tmp_path):
    page = open_page(notebook(tmp_path, "light", saved["advised"].report._repr_html_()))

    def style(place, name):
        return page.locator(f".batchaudit {place}").first.evaluate(f"one => getComputedStyle(one).{name}")

    assert style("table.named tbody th", "textAlign") == "left"
    assert style("table.named tbody td", "textAlign") == "right"
    assert style("table.figures tbody td", "whiteSpace") == "nowrap"
    assert style("table.figures tbody tr", "backgroundColor") == "rgba(0, 0, 0, 0)"
    assert style("table.figures", "tableLayout") == "auto"
    assert style("pre", "whiteSpace") == "pre"
    assert style("pre", "backgroundColor") == "rgba(127, 127, 127, 0.13)"
    assert float(style("h1", "lineHeight").removesuffix("px")) > float(
        style("h1", "fontSize").removesuffix("px")
    )


def test_two_reports_in_one_page_keep_their_pictures_apart(saved, open_page, tmp_path):
    both = [saved[name].report._repr_html_() for name in ("sick", "healthy")]
    page = open_page(notebook(tmp_path, "light", *both))
    names = page.evaluate("[...document.querySelectorAll('.batchaudit [id]')].map(one => one.id)")
    assert len(names) > 4
    assert len(set(names)) == len(names)
    used = page.evaluate(
        "[...document.querySelectorAll('.batchaudit svg')].map(one => [one.outerHTML.match(/#picture[^\\s\")]*/g),"
        " [...one.querySelectorAll('[id]')].map(it => '#' + it.id)])"
    )
    assert all(set(asked or []) == set(there) for asked, there in used)
