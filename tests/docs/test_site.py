"""The site as it is read: links, alternative texts, widths, dark mode, search, in Chromium without a network.

It is the folder that ``python -m docs`` writes, build/site, or ``INVGEN_SITE``; without one tests skip.
"""

import html
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site():
    folder = Path(os.environ.get("INVGEN_SITE") or ROOT / "build" / "site")
    if not (folder / "index.html").exists():
        pytest.skip(f"the site is not in {folder}: build it by `python -m docs`, or set INVGEN_SITE")
    return folder


class _Page(HTMLParser):
    """Targets of links and pictures, names that links can point at, and pictures without words."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.names, self.silent = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        for key in ("href", "src"):
            if tag in ("a", "img", "link", "script") and given.get(key):
                self.targets.append((tag, given[key]))
        if tag == "img" and not given.get("alt"):
            self.silent.append(given.get("src"))


@pytest.fixture(scope="module")
def pages(site):
    return {path: _Page(path.read_text()) for path in site.rglob("*.html") if path.parent.name != "_static"}


def test_links_lead_somewhere(pages, site):
    broken = []
    for path, page in pages.items():
        for _, target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or target.startswith("#"):
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            names = pages[file].names if file in pages and parts.fragment else None
            if not file.exists() or (names is not None and unquote(parts.fragment) not in names):
                broken.append((path.relative_to(site), target))
    assert broken == []


def test_nothing_is_loaded_from_the_network(pages, site):
    loaded = [
        (path.relative_to(site), target)
        for path, page in pages.items()
        for tag, target in page.targets
        if tag in ("img", "script", "link") and urlsplit(target).netloc
    ]
    assert loaded == []
    styles = [
        path
        for path in site.rglob("*.css")
        if re.search(r"(url\(|@import\s+)[\"']?https?:", path.read_text())
    ]
    assert styles == []


def test_pictures_have_words(pages, site):
    assert [(path.relative_to(site), page.silent) for path, page in pages.items() if page.silent] == []


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 40 * 2**20


@pytest.fixture
def opened(site, chromium):
    """Open a page of a width and scheme; whatever it complains about fails the test."""
    errors, contexts = [], []

    def open_(name, width=1400, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto((site / name).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", ["index.html", "howto/symptoms.html", "reference/formats.html"])
def test_pages_fit_their_width(opened, name, width):
    page = opened(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth])")
    assert all(width > 0 for complete, width in sizes if complete)


def test_dark_mode_follows_the_system(opened):
    def brightness(scheme):
        page = opened("start/words.html", scheme=scheme)
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(float, re.findall(r"[\d.]+", color)[:3]))

    assert brightness("dark") < 200 < 600 < brightness("light")


def test_formulas_are_drawn_without_scripts(opened):
    page = opened("explanations/geometry.html")
    box = page.locator("math").first.bounding_box()
    assert box["width"] > 50
    assert box["height"] > 10


def test_search_finds_a_solver(opened):
    page = opened("search.html")
    page.goto(page.url + "?q=DiffPIR")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    links = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any("invgen.solvers.DiffPIR" in link for link in links)


#: Ten questions that are asked again and again, the section that answers each, and words of the answer.
QUESTIONS = {
    "Can I remove rings?": ("howto/symptoms.html#rings", "--stripes sorting"),
    "Why are there crescents, although I have corrected the center of rotation?": (
        "howto/symptoms.html#arcs-the-wrong-centre-of-rotation",
        "--center 66.5 --preview",
    ),
    "Why is the image of my k-space shifted by half of it?": (
        "howto/symptoms.html#a-shift-half-an-image-away",
        "fftshift",
    ),
    "How do I define my own operator?": ("howto/own-physics.html#bring-my-physics", "FunctionOperator"),
    "My projections do not fit into memory.": (
        "howto/large.html#a-volume-larger-than-memory",
        "--max-memory",
    ),
    "Why are samples others at each call, and what does a seed fix?": (
        "explanations/reproducibility.html#reproducibility",
        "seed + i",
    ),
    "Must images be from -1 to 1, or from 0 to 1?": (
        "howto/own-prior.html#value-ranges",
        "value_range=(-1, 1)",
    ),
    "How do I choose the weight of the regularization?": (
        "explanations/weights.html#how-weights-are-chosen-and-when-that-fails",
        "discrepancy principle",
    ),
    "Is the GPU really used?": ("start/install.html#gpu", "invgen doctor"),
    "Why is my PSNR another one than the paper's?": (
        "howto/compare.html#why-figures-of-two-papers-differ",
        "The peak",
    ),
}


def _leads_to(path, page, site):
    """Pages of the site that a page links to."""
    targets = (urlsplit(target) for tag, target in page.targets if tag == "a")
    local = (unquote(parts.path) for parts in targets if not parts.scheme and not parts.netloc and parts.path)
    return {(path.parent / each).resolve().relative_to(site.resolve()) for each in local}


@pytest.mark.parametrize("question", QUESTIONS)
def test_common_questions_are_answered_within_two_clicks(pages, site, question):
    address, answer = QUESTIONS[question]
    name, _, anchor = address.partition("#")
    reached = {Path("index.html")}
    for _ in range(2):
        known = [site / path for path in reached if site / path in pages]
        reached |= {each for path in known for each in _leads_to(path, pages[path], site)}
    assert Path(name) in reached
    section = re.split(rf'<section [^>]*id="{anchor}">', (site / name).read_text())[1].split("<section")[0]
    words = re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", "", section)))
    assert answer in words
