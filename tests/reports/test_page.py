"""The page in a real browser: Chromium of the machine, driven by Playwright; skipped where one of them is missing."""

import re
import shutil

import pytest

import reports

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]
TABLE = "section table.sortable >> nth=0"


@pytest.fixture(scope="module")
def report(make, tmp_path_factory):
    """The address of a report with baselines, five losses, three seeds, a failed cell and an axis."""
    rows = [make.cell("none", lr=None, seed=None)]
    for loss in ("sft", "dpo", "ipo", "kto", "simpo", "orpo"):
        for seed, noise in ((0, 0.0), (1, 0.0), (2, 0.0), (0, 0.2)):
            answered = {
                "kl": 2.0 + seed,
                "gold_reward_gain": 0.4 + seed / 9,
                "gold_reward_gain_se": 0.1,
                "generated_prompts": 8,
            }
            rows.append(make.cell(loss, seed=seed, label_noise=noise, cell=f"{loss}{seed}{noise}", **answered))
    rows.append(make.cell("kto", lr=1e-3, status="failed", reason="loss is not finite at step 3"))
    out = make.store(tmp_path_factory.mktemp("browser"), rows)
    return reports.write(out, command="python -m harness run suite=hh-rlhf losses=dpo,ipo")["report.html"].as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, report):
    """A page on the report; `page.messages` holds console messages and errors, `page.asked` every address."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.messages, page.asked = [], []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(report)
    yield page
    page.close()


def column(page, head: str) -> list[str]:
    """The texts of a column of the first table, top to bottom."""
    return page.locator(TABLE).evaluate(
        """(table, head) => {
          const place = [...[...table.tHead.rows].at(-1).cells].findIndex((one) => one.textContent.startsWith(head));
          return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent.trim());
        }""",
        head,
    )


def test_the_page_loads_without_a_word_and_asks_for_nothing_else(page, report) -> None:
    page.wait_for_load_state("networkidle")
    assert page.messages == [] and page.asked == [report]


def test_a_click_on_a_heading_sorts_best_first_then_worst_first_then_as_before(page) -> None:
    before = column(page, "preference accuracy")
    values = [float(text.split()[0]) for text in before]
    button = page.locator(TABLE).locator("th button", has_text="preference accuracy")
    found = []
    for _ in range(3):
        button.click()
        found.append([float(text.split()[0]) for text in column(page, "preference accuracy")])
    assert found == [sorted(values, reverse=True), sorted(values), values] and sorted(values) != values
    assert page.messages == []


def test_a_heading_sorts_by_keyboard_and_says_how(page) -> None:
    button = page.locator(TABLE).locator("th button", has_text=re.compile("^loss"))
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, "loss") == sorted(column(page, "loss"))
    assert button.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert column(page, "loss") == sorted(column(page, "loss"), reverse=True)


def test_missing_values_stand_last_in_either_order(page) -> None:
    button = page.locator(TABLE).locator("th button", has_text="known reward gain")
    for _ in range(2):
        button.click()
        assert column(page, "known reward gain")[-1] == "–"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for one in page.locator("summary").all():
        one.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_answer_stands_on_the_first_screen_of_a_phone(page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator(".headline").first.bounding_box()
    assert box["y"] + box["height"] < 844 and "no claim" in page.locator(".headline").first.inner_text()


def test_a_dark_screen_gets_a_dark_page_and_paper_a_light_one(page) -> None:
    page.emulate_media(color_scheme="dark")
    ground, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (ground, ink) == ("rgb(20, 23, 26)", "rgb(230, 232, 234)")
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 32, 36)"


def test_printing_opens_what_is_folded_and_makes_a_document(page) -> None:
    assert page.locator("details:not([open])").count() > 0
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0


def test_every_drawing_is_inside_its_figure_and_has_a_name(page) -> None:
    outside = page.evaluate(
        """() => [...document.querySelectorAll("figure")].filter((figure) => {
          const [outer, inner] = [figure.getBoundingClientRect(), figure.querySelector("svg").getBoundingClientRect()];
          return inner.right > outer.right + 1 || inner.width < 50;
        }).length"""
    )
    assert outside == 0
    assert page.locator("figure svg:not([aria-label])").count() == 0 < page.locator("figure svg[role=img]").count()
