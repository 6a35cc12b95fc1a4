"""The page in a real Chromium, Debian's `chromium` and `chromium-driver`; without them these tests are skipped."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from serve_stub import Echoing, Hypothesis, Reversing
from serve_tools import live

from s2s.serve.app import Settings, create_app
from s2s.serve.keys import make_key

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not CHROMIUM or not DRIVER, reason="no Chromium here: install Debian's chromium and chromium-driver"
)
PATIENCE = 20


class Waiting(Reversing):
    """Goes on with the line "slow" when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def translate(self, texts: Sequence[str], **options: Any) -> list[list[Hypothesis]]:
        assert "slow" not in texts or self.go_on.wait(PATIENCE)
        return super().translate(texts, **options)


class Page:
    """A browser at a server, and what a person does there."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def __getitem__(self, identity: str) -> WebElement:
        return self.driver.find_element(By.ID, identity)

    def open(self, url: str, *, dark: bool = False, width: int = 1100, height: int = 800) -> None:
        """A first visit: nothing is kept from earlier ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        origin = {"origin": url.partition("/#")[0], "storageTypes": "local_storage"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
        self.driver.get(url)
        self.wait(lambda: self["translate"].is_displayed() or self["chat"].is_displayed() or self.said())

    def wait(self, condition: Any) -> Any:
        return WebDriverWait(self.driver, PATIENCE, 0.02).until(lambda _: condition())

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def said(self) -> str:
        """What the page says went wrong."""
        return self["alert"].text

    def translate(self, text: str, answer: str) -> None:
        """Type a text (the old one goes) and wait for its answer."""
        self["text"].clear()
        self["text"].send_keys(text)
        self.wait(lambda: self["answer"].text == answer)

    def word(self, text: str, place: str = "answer") -> WebElement:
        """A word of the answer, or of the map below, when the attention has arrived."""
        return self.wait(
            lambda: next((one for one in self[place].find_elements(By.CLASS_NAME, "word") if one.text == text), None)
        )

    def looked_at(self) -> dict[str, str]:
        """The words of the source that are marked, with their weights."""
        code = """return [...document.querySelectorAll("#attention-map span.word")]
                  .map((one) => [one.textContent, one.style.getPropertyValue("--weight")])"""
        return {word: weight for word, weight in self.script(code) if weight}

    def say(self, text: str, turns: int) -> str:
        """Say something in the chat; the reply, the last of so many turns."""
        self["turn"].send_keys(text, Press.ENTER)
        return self.wait(lambda: self.turns()[turns - 1 :] and self["log"].get_attribute("aria-busy") == "false"
                         and self.turns()[-1])  # fmt: skip

    def turns(self) -> list[str]:
        return [turn.text for turn in self["log"].find_elements(By.CSS_SELECTOR, ".turn span:last-child")]

    def too_wide(self) -> list[str]:
        """What makes the page scroll sideways."""
        code = """return [...document.querySelectorAll("body *")]
                  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 && one.checkVisibility())
                  .map((one) => one.outerHTML.slice(0, 80))"""
        found: list[str] = self.script(code)
        return found + (["the page"] if self.script("return document.documentElement.scrollWidth > innerWidth") else [])

    def faults(self) -> list[tuple[str, str]]:
        """The serious and critical ones that axe-core finds."""
        found = Axe().run(self.driver)["violations"]
        return [
            (one["id"], json.dumps([node["html"] for node in one["nodes"]]))
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: webdriver.Chrome) -> Iterator[Page]:
    """Fails where the browser itself complained: scripts, the content policy; refusals of the server are no fault."""
    driver.get_log("browser")  # those of earlier tests
    yield Page(driver)
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert [message for message in said if "Failed to load resource" not in message] == []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Both ways between two languages, and a partner to talk to."""
    with live(create_app([Reversing(), Reversing("de", "en", "back"), Echoing()])) as url:
        yield url


def test_translate_as_one_types_and_point_at_a_word(page: Page, url: str) -> None:
    page.open(url)
    Select(page["source"]).select_by_visible_text("English")
    page.translate("one two three", "three two one")
    assert (page["answer"].get_attribute("lang"), page["count"].text) == ("de", "13")
    spoken = page["spoken"]
    assert (spoken.aria_role, spoken.get_property("textContent")) == ("status", "three two one")
    ActionChains(page.driver).move_to_element(page.word("two")).perform()
    page.wait(lambda: page.looked_at() == {"one": "10%", "two": "90%", "three": "0%"})
    assert page["attention-hint"].text == "two ← two 90 %, one 10 %"
    page["clear"].click()
    page.wait(lambda: page["answer"].text == "")
    assert not page["attention"].is_displayed()


def test_the_map_by_keyboard(page: Page, url: str) -> None:
    page.open(url)
    page.translate("one two three", "three two one")
    first = page.word("three", "attention-map")
    page.script("arguments[0].focus()", first)
    page.wait(lambda: page.looked_at()["three"] == "90%")
    first.send_keys(Press.ARROW_RIGHT)
    page.wait(lambda: page.looked_at()["two"] == "90%")
    assert page.driver.switch_to.active_element.accessible_name == "two ← two 90 %, one 10 %"
    stops = page.script("return document.querySelectorAll('#attention-map [tabindex=\"0\"]').length")
    assert stops == 1


def test_the_request_before_is_cancelled(page: Page) -> None:
    run = Waiting()
    with live(create_app([run])) as url:
        page.open(url)
        page["text"].send_keys("slow")
        page.wait(lambda: page["answer"].get_attribute("aria-busy") == "true")
        page["text"].send_keys(" a b")
        figures = "return fetch('metrics').then((reply) => reply.text())"
        page.wait(lambda: 'route="/translate",status="499"' in page.script(figures))
        run.go_on.set()
        page.wait(lambda: page["answer"].text == "b a slow")


def test_swap(page: Page, url: str) -> None:
    page.open(url)
    Select(page["source"]).select_by_value("en")
    page.translate("one two", "two one")
    page["swap"].click()
    page.wait(lambda: page["answer"].text == "one two")
    assert [page[side].get_property("value") for side in ("source", "target", "text")] == ["de", "en", "two one"]
    page.driver.refresh()
    page.wait(lambda: page["source"].get_property("value") == "de")


def test_detection_says_what_a_text_was_taken_for(page: Page, url: str) -> None:
    page.open(url)
    Select(page["target"]).select_by_value("en")
    page.translate("Guten Morgen", "Morgen Guten")
    assert page["note"].text == "Taken for German"
    assert page["swap"].is_enabled()


def test_alternatives(page: Page, url: str) -> None:
    page.open(url)
    page.translate("a b", "b a")
    assert not page["others"].is_displayed()
    Select(page["alternatives"]).select_by_visible_text("2")
    page.wait(lambda: page["others"].is_displayed())
    ways = page["other-list"].find_elements(By.TAG_NAME, "button")
    assert [way.text for way in ways] == ["b a", "b a!", "b a!!"]
    ways[1].click()
    assert page["answer"].text == "b a!"
    assert [way.get_attribute("aria-pressed") for way in ways] == ["false", "true", "false"]
    page.word("a!", "attention-map")


def test_a_text_file_and_copy(page: Page, url: str, tmp_path: Path) -> None:
    page.open(url)
    (tmp_path / "two.txt").write_text("one two\n\nthree four", encoding="utf-8")
    page["file"].send_keys(str(tmp_path / "two.txt"))
    page.wait(lambda: page["answer"].text == "two one\n\nfour three")
    page["copy"].click()
    page.wait(lambda: page["note"].text)
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\xff")
    page["file"].send_keys(str(tmp_path / "odd.txt"))
    page.wait(lambda: page.said() == "odd.txt is not a text in UTF-8.")


def test_chat(page: Page) -> None:
    partner = Echoing()
    with live(create_app([partner])) as url:
        page.open(url)
        assert not page["to-translate"].is_displayed()
        assert page.say("Good morning", 2) == "1 Good morning"
        for name, value in (("temperature", "0.5"), ("top-p", "0.9"), ("seed", "7")):
            page[name].send_keys(value)
        assert page.say("How are you?", 4) == "3 How are you?"
        asked = [{"temperature": None, "top_p": None, "seed": None}, {"temperature": 0.5, "top_p": 0.9, "seed": 7}]
        assert partner.asked == asked
        page["reset"].click()
        assert page.turns() == []
        assert page.say("Again", 2) == "1 Again"
        page["turn"].send_keys("crash", Press.ENTER)
        page.wait(page.said)
        assert page["turn"].get_property("value") == "crash"
        assert len(page.turns()) == 2


def test_what_is_not_served_is_not_offered(page: Page, live_url: str) -> None:
    page.open(f"{live_url}/#chat")
    assert page["translate"].is_displayed()
    assert not page["to-chat"].is_displayed()
    assert [one.text for one in Select(page["source"]).options] == ["English"]


def test_a_key(page: Page, tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys.sqlite", "somebody")
    with live(create_app([Reversing(), Echoing()], keys=tmp_path / "keys.sqlite")) as url:
        page.open(url)
        page.wait(page["key-form"].is_displayed)
        page["text"].send_keys("a b")
        page.wait(lambda: page.said() == "An API key is required.")
        page["key"].send_keys("wrong", Press.ENTER)
        page.wait(lambda: page.said() == "Invalid API key.")
        page["key"].clear()
        page["key"].send_keys(key, Press.ENTER)
        page.wait(lambda: page["answer"].text == "b a")
        assert (page.said(), page["key-form"].is_displayed()) == ("", False)
        page["to-chat"].click()
        assert page.say("Hello", 2) == "1 Hello"


def test_refusals_in_words(page: Page) -> None:
    with live(create_app([Reversing()], Settings(char_limit=5))) as url:
        page.open(url)
        page.translate("a b", "b a")
        page["text"].send_keys(" and more")
        page.wait(lambda: page.said() == "request (12) exceeds text limit (5).")
        assert (page["answer"].text, page["count"].text) == ("", "12 / 5")
        page.translate("b c", "c b")
        assert page.said() == ""
    page["text"].send_keys("d")
    page.wait(lambda: page.said() == "The server can't be reached. Is it still running?")


def test_too_much_in_a_minute_says_when_to_come_back(page: Page) -> None:
    with live(create_app([Reversing()], Settings(requests_per_minute=2))) as url:
        page.open(url)
        page["text"].send_keys("a b")
        page.wait(lambda: page.said() or page["attention-hint"].text.startswith("Slow"))
        said = page.said() or page["attention-hint"].text
        assert said.startswith("Slow down: a minute allows 2 requests. Try again in ")


@pytest.mark.parametrize("view", ["translate", "chat"])
def test_a_phone_does_not_scroll_sideways(page: Page, url: str, view: str) -> None:
    page.open(f"{url}/#{view}", width=360, height=740)
    if view == "translate":
        Select(page["alternatives"]).select_by_visible_text("2")
        page.translate("Donaudampfschifffahrt" * 5 + " x", "x " + "Donaudampfschifffahrt" * 5)
        page.word("x", "attention-map")
    else:
        page.say("Donaudampfschifffahrt" * 5, 2)
    assert page.too_wide() == []


def test_dark_and_light(page: Page, url: str) -> None:
    def ground() -> int:
        colour = page.script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    page.open(url)
    assert ground() > 3 * 200
    page.open(url, dark=True)
    assert ground() < 3 * 60
    assert page["theme"].get_attribute("aria-pressed") == "true"
    page["theme"].click()
    assert ground() > 3 * 200
    page.driver.refresh()
    assert ground() > 3 * 200
    assert page["theme"].get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(page: Page, url: str, dark: bool) -> None:
    page.open(url, dark=dark)
    Select(page["alternatives"]).select_by_visible_text("2")
    page.translate("one two three", "three two one")
    ActionChains(page.driver).move_to_element(page.word("two")).perform()
    page.wait(page.looked_at)
    assert page.faults() == []
    page.translate("crash", "")
    page.wait(page.said)
    assert page.faults() == []
    page["to-chat"].click()
    page.say("Good morning", 2)
    assert page.faults() == []
