"""The page in Chromium: it sorts, filters, slides and shows every image, without an error."""

import importlib.util
from pathlib import Path

import pytest

from invgen.bench.report import write_report

RESULTS = ".table[data-name^=results]"


@pytest.fixture(scope="module")
def path(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(results, path)
    return path


@pytest.fixture
def opened(chromium, path):
    """Opens the page; no test passes in which it writes an error, or asks for anything."""
    pages, errors = [], []

    def open_(width=1400, file=path, **settings):
        page = chromium.new_page(viewport={"width": width, "height": 900}, **settings)
        page.set_default_timeout(180_000)  # of a machine with other work
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on(
            "request", lambda request: request.url[:5] in ("file:", "data:") or errors.append(request.url)
        )
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_
    for page in pages:
        assert page.title().startswith("invgen: ")
        page.close()
    assert errors == []


def column(page, number, host=RESULTS):
    return page.eval_on_selector_all(
        f"{host} tbody tr",
        f"rows => rows.map(row => row.cells[{number}].dataset.v ?? row.cells[{number}].innerText)",
    )


def chooser(page, host, name):
    return page.locator(host).get_by_label(name, exact=True)


def to_images(page):
    """Scroll to the images, which are made then."""
    page.locator("#images").scroll_into_view_if_needed()
    page.locator(".gallery").wait_for()


def to_chart(page, kind):
    figure = page.locator(f"figure[data-kind={kind}]")
    figure.scroll_into_view_if_needed()
    figure.locator("svg[role=img]").wait_for()
    return figure


def head(page, text, host=RESULTS):
    return page.locator(f"{host} thead th", has_text=text).first


def test_tables_sort_and_filter_and_the_slider_slides(opened):
    page = opened()
    button = head(page, "PSNR").locator("button")
    for order in ("descending", "ascending"):
        button.click()
        assert head(page, "PSNR").get_attribute("aria-sort") == order
        known = [float(value) for value in column(page, 6) if value != "—"]
        assert known == sorted(known, reverse=order == "descending")
        assert column(page, 6)[-1] == "—"  # what failed is last in both
    total = len(column(page, 0))
    page.locator(f"{RESULTS} input[type=search]").fill("<script>alert")
    assert len(column(page, 0)) == 2
    assert page.locator(f"{RESULTS} [role=status]").inner_text() == f"2 of {total} rows"
    to_images(page)
    page.locator("#split").fill("80")
    assert page.eval_on_selector(".views", "e => e.style.getPropertyValue('--split')") == "80%"
    assert "80%" in page.eval_on_selector(".pair img.over", "e => getComputedStyle(e).clipPath")


@pytest.mark.slow
def test_choices_filter_rows_and_join_with_words(opened):
    page = opened()
    chooser(page, RESULTS, "Task").select_option("60 views")
    assert set(column(page, 0)) == {"60 views"}
    chooser(page, RESULTS, "Run").select_option("tuned")
    assert column(page, 0) == []


@pytest.mark.slow
def test_every_image_is_shown(opened):
    page = opened()
    to_images(page)
    chosen = chooser(page, "#viewer", "Task")
    shown = 0
    for task in chosen.locator("option").all_inner_texts():
        chosen.select_option(task)
        images = chooser(page, "#viewer", "Image")
        for value in images.locator("option").evaluate_all("options => options.map(o => o.value)"):
            images.select_option(value)
            for part in ("image", "error", "std"):
                chooser(page, "#viewer", "All methods by").select_option(part)
                page.wait_for_function("[...document.images].every(image => image.complete)")
                sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.alt])")
                assert all(width == 24 and alt for width, alt in sizes)
                shown += page.locator(".gallery img").count()
    assert shown == 2 * (56 + 4 + 1) + 24 + 8  # images and errors, deviations of samplers, truths


@pytest.mark.slow
def test_pairs_are_chosen_and_their_maps_follow(opened):
    page = opened()
    to_images(page)
    chooser(page, "#viewer", "Left").select_option("<script>alert(1)</script>")
    chooser(page, "#viewer", "Right").select_option("TV")
    alts = page.locator(".views img").evaluate_all("images => images.map(image => image.alt)")
    assert alts[0].startswith("<script>alert(1)</script> on 30 views")
    assert [alt.split(" on ")[0] for alt in alts[1:]] == [
        "TV",
        "error of <script>alert(1)</script>",
        "error of TV",
        "uncertainty of TV",
    ]
    page.locator(".gallery button", has_text="FBP").click()
    assert page.locator(".views img").first.get_attribute("alt").startswith("FBP")
    assert page.locator(".gallery button[aria-pressed=true]").inner_text().startswith("FBP")


@pytest.mark.slow
def test_all_of_it_is_done_by_keyboard(opened):
    page = opened()
    head(page, "PSNR").locator("button").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert head(page, "PSNR").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert head(page, "PSNR").get_attribute("aria-sort") == "ascending"
    to_images(page)
    page.locator("#split").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#split").input_value() == "51"
    assert page.get_by_label("Split between").count() == 1
    page.locator("summary", has_text="p values").focus()
    page.keyboard.press("Enter")
    assert page.locator(".table[data-name^=tests]").is_visible()
    reached = set()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + (document.activeElement.type ?? '')"))
    assert {
        "A",
        "BUTTONbutton",
        "INPUTsearch",
        "SELECTselect-one",
        "INPUTcheckbox",
        "SUMMARY",
        "DIV",
    } <= reached


@pytest.mark.slow
def test_charts_have_a_mark_for_every_method_and_can_leave_one_out(opened):
    page = opened()
    figure = to_chart(page, "cost")
    assert figure.locator(".canvas .mark").count() == 9  # methods of the first task with a result
    assert figure.locator(".canvas .mark.hollow").count() == 1  # the mean over one image
    figure.locator(".legend input").first.uncheck()
    assert figure.locator(".canvas .mark").count() == 8
    for kind in ("axis", "uniform", "coverage", "spread"):
        other = to_chart(page, kind)
        assert other.locator("svg[role=img]").get_attribute("aria-label")
        assert "NaN" not in other.locator(".canvas").inner_html()
    assert page.locator("figure[data-kind=uniform] .envelope").count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_every_width_and_scheme(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for kind in ("cost", "axis", "uniform", "coverage", "spread"):
        to_chart(page, kind)
    to_images(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.innerText && e.checkVisibility() && "
        "parseFloat(getComputedStyle(e).fontSize) < 11).map(e => e.tagName)"
    )
    assert small == []
    for selector in ("p", ".caption", "td", ".note", ".why a", "a", "summary", "dt", "select"):
        assert page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector


#: Of text and its ground, WCAG 2.1, section 1.4.3.
CONTRAST = """element => {
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  let ground = element;
  while (ground && parts(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const colors = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
  const pair = colors.map(parts).map(light);
  return (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
}"""


@pytest.mark.slow
def test_tables_are_there_without_javascript(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(f"{RESULTS} tbody tr").count() == 17
    assert page.locator("noscript").first.is_visible()
    page.locator("summary", has_text="Traceback").click()
    assert page.get_by_text('File "x.py", line 3').is_visible()


@pytest.mark.slow
def test_print_shows_charts_and_images_that_were_not_scrolled_to(opened):
    page = opened()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("figure.chart svg[role=img]").count() == 5
    assert page.locator(".gallery img").count() > 5
    assert not page.locator("nav").is_visible()


@pytest.mark.slow
def test_many_cells_open_and_sort_quickly(opened, tmp_path):
    """Seconds of work, so that other programs on the machine do not count."""
    spec = importlib.util.spec_from_file_location("fixtures", Path(__file__).with_name("conftest.py"))
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    with fixtures.fill(tmp_path / "many", methods=[f"method {i}" for i in range(15)], images=20) as results:
        write_report(results, tmp_path / "many.html")
    page = opened(file=tmp_path / "many.html")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds():
        figures = session.send("Performance.getMetrics")["metrics"]
        return next(figure["value"] for figure in figures if figure["name"] == "ThreadTime")

    assert seconds() < 2
    page.locator("summary", has_text="one row each").click()
    cells = ".table[data-cells]"
    page.wait_for_selector(f"{cells} tbody tr")
    assert len(column(page, 0, cells)) == 200
    before = seconds()
    head(page, "PSNR", cells).locator("button").click()
    values = [float(value) for value in column(page, 4, cells)]
    assert values == sorted(values, reverse=True)
    assert seconds() - before < 2
    page.locator(f"{cells} .more").click()
    assert len(column(page, 0, cells)) == 400
