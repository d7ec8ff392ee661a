"""The live page in a real browser, over the engine's real API.

It is long because each view of the page is entered, used and measured in it.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from engine.api.recalled import recall
from engine.api.records import Records
from engine.model import Category, ManualScale
from engine.page import DOCUMENT, files
from engine.record.journal import Journal, JournalHeading
from engine.security.roles import Role
from tests.integration.page.browser import PATIENCE_S, Browser
from tests.integration.page.conftest import Stage, action, enter, incident, sees, show
from tests.unit.reports.conftest import make

NOTED = """(() => {
  const send = fetch;
  window.seen = [];
  window.fetch = (address, how) => {
    if (address.endsWith("/events")) window.seen.push(how.headers["Last-Event-ID"]);
    return send(address, how);
  };
})()"""
"""Notes what event was the last one whenever the page asks for those after it."""
VIEWS = {
    "now": "At risk",
    "next": "Demand",
    "why": "api 6",
    "todo": "Pause scaling",
    "then": "in an hour that is over",
}
"""The views, and what is read in each once it is there."""
MARKUP = ", ".join(
    f"{place} {tag}" for place in ("main", "header nav", "header .who")
    for tag in ("img", "script", "b", "i", "s", "u")
)  # fmt: skip
NODE = Path(os.environ.get("WEDTWIN_NODE", Path(__file__).resolve().parents[3] / "build/node"))
AXE = NODE / "node_modules/axe-core/axe.min.js"
HOSTILE = '<img src=x onerror="document.title=1">'


def test_who_logs_in_sees_how_it_stands_and_the_token_is_in_no_address(
    browser: Browser, stage: Stage
) -> None:
    token = stage.token("pat", Role.OPERATOR)
    show(browser, stage, "wt_nobody_knows_this")
    browser.reads("no such token", ".problem")
    assert not browser.value("document.querySelector('header.top')")
    enter(browser, stage, token)
    sees(browser, stage, "Safe: 812 weddings in progress, and all 3 services have what they need.")
    for shown in ("ceremony", "300", "api", "200", "5 of them major", "lead 7"):
        stage.step()  # on a busy machine the one before is stale by now
        browser.reads(shown)
    host = urlsplit(stage.url).netloc
    outside = [one for one in browser.addresses
               if urlsplit(one).netloc != host and not one.startswith("about:")]  # fmt: skip
    assert outside == []
    assert [one for one in browser.addresses if token in one] == []
    browser.open(f"{stage.url}/#/now")  # again, in the same tab
    sees(browser, stage, "Safe:")
    browser.click("#leave")
    browser.reads("Show who you are")
    assert browser.value("sessionStorage.length") == 0


def test_what_is_drawn_first_says_how_it_stands_and_nothing_that_is_not_so(
    browser: Browser, stage: Stage
) -> None:
    enter(browser, stage, stage.token("pat", Role.OPERATOR))
    watch = browser.command(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""
            const now = performance.now.bind(performance);
            let seen = now(), lived = 0; // what stands still with its machine is not stale by it
            performance.now = () => {
                lived += Math.min(now() - seen, 500);
                seen = now();
                return lived;
            };
            globalThis.read = [];
            new MutationObserver(() => globalThis.read.push(document.body?.innerText ?? ""))
                .observe(document, {subtree: true, childList: true, characterData: true});
        """,
    )
    stage.step()
    browser.command("Page.reload")
    browser.until("globalThis.read !== undefined")  # it may be the page of before for a moment
    sees(browser, stage, "Live", "#fresh")
    browser.command("Page.removeScriptToEvaluateOnNewDocument", **watch)
    read = browser.value("read.filter((one) => one.includes('Log out'))")
    assert read and all("Safe: 812" in one for one in read)
    assert not any("Disconnected" in one or "is lost" in one for one in read)


def test_no_step_to_come_is_one_that_was_due(browser: Browser, stage: Stage) -> None:
    stage.rate = 2000.0
    stage.step()
    enter(browser, stage, stage.token("pat", Role.OPERATOR), "next")
    first = "document.querySelector('[aria-labelledby=steps] tbody td')?.innerText"
    browser.until(f"{first} !== undefined")
    due = browser.value(first)
    stage.step(later_s=500.0)  # of a world that goes faster than the page asks
    browser.until(f"document.querySelector('header time').textContent > {due!r}")
    assert browser.value(first) != due


def test_what_changes_is_seen_as_it_happens(browser: Browser, stage: Stage) -> None:
    enter(browser, stage, stage.token("pat", Role.VIEWER))
    sees(browser, stage, "Safe:")
    stage.ready["payments"] = 2
    stage.step()
    sees(browser, stage, "At risk: payments has 2 of the 3 instances that its load needs")
    stage.ready["payments"] = 3
    stage.step()
    sees(browser, stage, "payments could not lose a zone now")
    stage.ready.clear()
    stage.p95_s = 0.9
    stage.step(troubles={"metrics": ["no answer from <b>Prometheus</b>"]})
    sees(browser, stage, "Not safe: api answers in 900")
    browser.reads("no answer from <b>Prometheus</b>")
    stage.p95_s = 0.2
    stage.step()
    sees(browser, stage, "Safe: 812")
    browser.go("todo")
    browser.reads("Waiting for people")
    text = browser.text()
    assert "Scale by hand" not in text and "Pause scaling" not in text


def test_the_age_of_what_is_shown_counts_up_until_it_is_called_stale(
    browser: Browser, stage: Stage
) -> None:
    enter(browser, stage, stage.token("pat", Role.VIEWER))
    sees(browser, stage, "Live", "#fresh")
    browser.value("(() => { const now = performance.now.bind(performance);"
                  " performance.now = () => now() + 20000; })()")  # fmt: skip
    browser.reads("Stale: heard of", "#fresh")
    browser.reads("Not known: the engine was heard of")


def test_an_action_is_approved_or_rejected_with_a_reason(browser: Browser, stage: Stage) -> None:
    stage.step(awaiting=[action("d-api", "api"), action("d-payments", "payments")])
    enter(browser, stage, stage.token("ann", Role.APPROVER), "todo")
    browser.reads("api 6 → 9")
    browser.reads("+$3.00/h")
    browser.until("document.querySelectorAll('.questions > li').length === 2")
    assert browser.value("document.querySelectorAll('.answer button')[1].disabled")
    browser.click(".questions > li:first-child .primary")
    browser.reads("Approved: api.")
    browser.type(".questions > li:nth-child(2) input", "it is only a test's load")
    browser.click(".questions > li:nth-child(2) button:not(.primary)")
    browser.reads("Rejected: payments.")
    so_far = stage.context.approvals.so_far
    assert so_far("d-api").approved_by == ("ann",)
    assert so_far("d-payments").rejected_by == "ann"
    stage.step()
    browser.reads("Nothing waits.")


def test_an_incident_is_taken_on_or_escalated_by_who_may(browser: Browser, stage: Stage) -> None:
    stage.step(incidents=[incident("api", words=[HOSTILE]), incident("payments", level=3)])
    enter(browser, stage, stage.token("vic", Role.VIEWER), "todo")
    browser.reads(HOSTILE)
    assert browser.value("document.querySelectorAll('.questions button').length") == 0
    # The last view: nothing is there to try something out with.
    assert browser.text("header nav").split("\n")[-2:] == ["To do2", "Then"]
    browser.click("#leave")
    browser.reads("Show who you are")
    enter(browser, stage, stage.token("ann", Role.OPERATOR, services=["api", "payments"]), "todo")
    browser.until("document.querySelectorAll('.questions > li').length === 2")
    buttons = "[...document.querySelectorAll('.questions button')].map((one) => one.innerText)"
    assert browser.value(buttons) == ["Acknowledge", "Escalate", "Acknowledge"]
    browser.type(".questions > li:nth-child(1) input", "on it")
    browser.click(".questions > li:nth-child(1) .primary")
    browser.reads("Taken on: api.")
    browser.click(".questions > li:nth-child(1) button:not(.primary)")
    browser.reads("The next people are told of api.")
    asked = {(one.request.incident, one.request.escalates, one.request.why)  # type: ignore[union-attr]
             for one in stage.context.desk.asked()[0]}  # fmt: skip
    assert asked == {("i-api", False, "on it"), ("i-api", True, "")}
    stage.step(incidents=[incident("api", acknowledged_by="ann", acknowledged_s=time.time())])
    browser.reads("by ann, at")
    assert browser.value(buttons) == ["Escalate"]


def test_an_hour_that_is_over_has_an_address(browser: Browser, stage: Stage) -> None:
    stage.step(actions=[action("d-1", "api", explanation=f"{HOSTILE} asked for it")])
    hour = time.strftime("%Y-%m-%dT%H", time.gmtime(stage.context.look().time_s))
    enter(browser, stage, stage.token("vic", Role.VIEWER), f"then/{hour}")
    browser.reads("1 step at all services")
    browser.reads(f"{HOSTILE} asked for it")
    browser.reads("What api was asked for")
    browser.choose("#then-service", "payments")
    browser.reads("What payments was asked for")
    earlier = time.strftime("%Y-%m-%dT%H", time.gmtime(stage.context.look().time_s - 7200))
    browser.choose("#then-hour", earlier)
    browser.reads("No sample of this hour is kept.")
    browser.reads("No step of this hour is in the store.")
    assert browser.value("location.hash") == f"#/then/{earlier}"
    browser.go("then/2027-13-45T99")  # no hour: the last whole one
    browser.reads("No sample of this hour is kept.")


def test_a_minute_that_is_over_is_shown_as_it_was(browser: Browser, stage: Stage) -> None:
    look = stage.context.look()
    minute = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(look.time_s + 60.0))
    enter(browser, stage, stage.token("vic", Role.VIEWER), f"then/{minute}")
    browser.reads(f"As it stood at {time.strftime('%H:%M:%S', time.gmtime(look.time_s))} UTC")
    browser.until("document.querySelectorAll('table.services tbody tr').length > 1")
    browser.go("then/2001-01-01T10:30")
    browser.reads("How all stood then is not kept")


def test_a_minute_of_before_a_restart_is_shown_and_what_is_not_known_of_it(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    board, now_s = stage.context.board, time.time()
    journal = Journal(tmp_path, JournalHeading(now_s, tuple(board.specs), 5.0, "engine"))
    journal.status = lambda _: None  # type: ignore[attr-defined]
    board._notes = journal  # type: ignore[assignment]
    stage.ready["payments"] = 2
    stage.step(later_s=60.0)
    journal.close()
    recall(board, journal.path, None, now_s + 90.0)
    at = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(now_s + 120.0))
    enter(browser, stage, stage.token("pat", Role.OPERATOR), f"then/{at}")
    browser.reads("payments has 2 of the 3 instances")
    browser.reads("Which of them were major is not known.")
    assert "No major one is near." not in browser.text()


def test_an_hour_of_an_earlier_run_is_shown_from_its_record(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    record = make(samples=1440, interval_s=30.0)
    actions = record.decisions["kind"] == "action"
    record.decisions.loc[actions, "explanation"] = f"{HOSTILE} came"
    record.write(tmp_path / "small" / "first")
    stage.context.records = Records(tmp_path)
    at_s = 60.0 * (record.decisions.loc[actions, "time_s"].iloc[0] // 60.0 + 1.0)
    minute = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(at_s))
    enter(browser, stage, stage.token("vic", Role.VIEWER), "then")
    browser.choose("#then-run", "small/first")
    browser.reads("An hour of an earlier run")
    browser.reads("As it stood at 20:00:00 UTC")  # its last sample
    assert browser.value("location.hash") == "#/then//small/first"
    browser.go(f"then/{minute}/small/first")
    browser.reads(f"As it stood at {minute[11:]}:00 UTC")
    rows = record.timeline[record.timeline["time_s"] == at_s].set_index("service")
    cells = (
        "Object.fromEntries([...document.querySelectorAll('table.services tbody tr')]"
        ".map((one) => [one.cells[0].firstChild.data, one.cells[3].innerText.split(' ')[0]]))"
    )
    browser.until("document.querySelectorAll('table.services tbody tr').length === 5")
    assert browser.value(cells) == {name: f"{int(row['ready']):,}" for name, row in rows.iterrows()}
    browser.reads(f"{HOSTILE} came")
    assert browser.value("document.querySelector('a.item')") is None  # the store has no page of it
    browser.choose("#then-service", "database")
    browser.reads("What database was asked for")
    browser.choose("#then-hour", "2027-06-19T09")
    browser.reads("As it stood at 09:59:00 UTC")
    browser.screen(390)
    browser.until("document.documentElement.clientWidth === 390")
    browser.fits()
    browser.screen(1440)
    browser.go("then//small/second")
    browser.reads("the record small/second: is not there")
    browser.choose("#then-run", "")
    browser.reads("decisions for as long as the store has them")


def test_two_runs_stand_beside_each_other(browser: Browser, stage: Stage, tmp_path: Path) -> None:
    for number, cost in (("1", 100.0), ("2", 125.0)):
        record = make()
        record.summary["cost"]["total_usd"] = cost
        record.write(tmp_path / "small" / number)
        os.utime(tmp_path / "small" / number / "summary.json", (float(number), float(number)))
    stage.context.records = Records(tmp_path)
    enter(browser, stage, stage.token("vic", Role.VIEWER), "then")
    browser.reads("cost · total usd")
    rows = "[...document.querySelectorAll('[aria-labelledby=compare] tbody tr')]"
    row = f"{rows}.map((one) => one.innerText)"
    assert "cost · total usd\t100\t125\t+25\xa0%" in browser.value(row)
    browser.choose("#compare-one", "small/2")
    browser.until(f"{row}.includes('cost · total usd\\t125\\t125\\tnone')")


def test_who_has_a_sealed_code_comes_in_where_nobody_can_log_in(
    browser: Browser, stage: Stage, pictures: Path
) -> None:
    code = stage.context.emergency.seal("pat", now_s=time.time(), sealed_by="ada", for_s=3600.0)
    show(browser, stage, "")
    browser.click("summary")
    browser.type("#emergency-code", "wtbg_nobody_sealed_this")
    browser.type("#emergency-reason", "nobody can log in")
    browser.picture(pictures / "emergency.png")
    browser.click("#emergency-open")
    browser.reads("there is no such sealed code", ".problem")
    browser.value("document.querySelector('#emergency-code').value = ''")
    browser.type("#emergency-code", code)
    browser.click("#emergency-open")
    browser.reads("Emergency access of pat", "#bar")
    assert code not in browser.value("document.documentElement.outerHTML")


def test_what_another_person_has_answered_meanwhile_is_said(browser: Browser, stage: Stage) -> None:
    stage.step(awaiting=[action("d-api", "api")])
    enter(browser, stage, stage.token("ann", Role.APPROVER), "todo")
    browser.reads("api 6 → 9")
    other = {"authorization": f"Bearer {stage.token('bob', Role.APPROVER)}"}
    httpx.post(f"{stage.url}/api/scalability/approvals/d-api/reject", headers=other,
               json={"why": "no"}, timeout=PATIENCE_S).raise_for_status()  # fmt: skip
    browser.click(".questions .primary")
    browser.reads("bob has refused it")


def test_a_count_a_floor_and_a_pause_are_asked_for_after_their_effect_was_shown(
    browser: Browser, stage: Stage
) -> None:
    enter(browser, stage, stage.token("pat", Role.OPERATOR), "todo")
    browser.reads("Scale by hand")
    for kind, amount, effect, done in (
        ("scale", "8", "payments goes from 6 to 8 instances, +$2.00/h", "payments to 8"),
        ("floor", "9", "keeps at least 9", "payments keeps at least 9"),
        ("pause", "", "payments: nothing is scaled in", "Paused: payments"),
    ):
        browser.type(f"#{kind}-service", "payments")
        if amount:
            browser.type(f"#{kind}-instances", amount)
        assert browser.value(f"document.querySelector('#{kind}-do').disabled")
        browser.click(f"#{kind}-show")
        browser.reads(effect)
        browser.click(f"#{kind}-do")
        browser.reads(done)
    browser.reads("payments: at least 9")
    stage.context.board.look = None  # what stands is asked of the store
    asked, _ = stage.context.desk.asked()
    assert {type(one.request).__name__ for one in asked} == {"ManualScale", "ManualFloor", "Pause"}


def test_the_limits_are_passed_in_an_emergency_alone_by_who_may_and_with_a_reason(
    browser: Browser, stage: Stage, pictures: Path
) -> None:
    how = "document.querySelector('#scale-past')"
    live = "!document.querySelector('#scale-do').disabled"
    urgent = action("d-1", "api", category=Category.EMERGENCY)
    enter(browser, stage, stage.token("ida", Role.INCIDENT_COMMANDER), "todo")
    browser.type("#scale-service", "api")
    browser.type("#scale-instances", "40")
    browser.until("!document.querySelector('#scale-show').disabled")
    assert not browser.value(how)
    stage.step(actions=[urgent])
    browser.until(f"{how} !== null")
    browser.type("#scale-service", "payments")  # it does not drown
    browser.until(f"{how} === null")
    browser.type("#scale-service", "api")
    browser.choose("#scale-for", "14400")
    browser.choose("#scale-past", "past")
    browser.until("document.querySelector('#scale-show').disabled")
    assert browser.value("document.querySelector('#scale-for').value") == "3600"
    browser.type("#scale-why", "guests wait")
    assert not browser.value(live)
    browser.click("#scale-show")
    browser.reads("api goes from 6 to 40 instances, +$34.00/h")
    browser.reads("in one step, past the rest after it, budget and quota")
    browser.reads("Scale past the limits", "#scale-do")
    for width in (1440, 390):
        browser.screen(width)
        browser.picture(pictures / f"override-{width}.png")
        browser.fits()
    browser.choose("#scale-past", "within")
    browser.until(f"!({live})")
    browser.choose("#scale-past", "past")
    browser.click("#scale-show")
    browser.until(live)
    stage.step(later_s=stage.context.board.settings.emergency.calm_s + 1.0)  # it is over
    browser.until(f"{how} === null && !({live})")
    stage.step(actions=[urgent])
    browser.until(live)  # what was shown is so again
    browser.click("#scale-do")
    browser.reads("Asked for: api to 40")
    assert browser.value(f"{how}.value") == "within"
    [asked] = stage.context.desk.asked()[0]
    assert isinstance(asked.request, ManualScale)
    assert (asked.request.override, asked.request.why) == (True, "guests wait")
    browser.click("#leave")
    browser.reads("Show who you are")
    enter(browser, stage, stage.token("pat", Role.OPERATOR), "todo")
    browser.type("#scale-service", "api")
    browser.type("#scale-instances", "40")
    browser.until("!document.querySelector('#scale-show').disabled")
    assert not browser.value(how)


def test_what_is_in_no_calendar_is_proposed_by_one_and_approved_by_another(
    browser: Browser, stage: Stage, pictures: Path
) -> None:
    browser.screen(390)
    enter(browser, stage, stage.token("pat", Role.OPERATOR), "todo")
    browser.reads("No launch, TV spot or load test is expected.")
    browser.click("main summary")
    browser.until("document.querySelector('#occasion-starts').value.length === 16")
    browser.type("#occasion-name", HOSTILE)
    for given, effect in (
        ("api", 'load: "api" is not allowed'),
        ("apo 3", "apo"),  # the API says which services there are
        ("api 3, payments 2", "It takes $"),
    ):
        browser.type("#occasion-times", given)
        assert browser.value("document.querySelector('#occasion-do').disabled")
        browser.click("#occasion-show")
        browser.reads(effect, ".effect")
    browser.click("#occasion-do")
    browser.reads("You proposed it; somebody else approves it.")
    browser.picture(pictures / "occasion.png")
    browser.fits()
    browser.reads(f"Proposed: {HOSTILE}.")
    assert browser.text("header nav").split("\n")[-2:] == ["To do1", "Then"]
    browser.click("#leave")
    browser.reads("Show who you are")
    enter(browser, stage, stage.token("ann", Role.APPROVER), "todo")
    browser.reads("api ×3, payments ×2")
    browser.click(".questions .primary")
    browser.reads("Approved by")
    browser.reads("What it needs")
    assert browser.value("document.title") != "1"
    assert not browser.value("document.querySelector('.questions .quiet')")  # not on the day
    browser.click("#leave")
    browser.reads("Show who you are")
    enter(browser, stage, stage.token("ida", Role.INCIDENT_COMMANDER), "todo")
    browser.click(".questions .quiet")
    browser.reads("Taken back by")


def test_a_changed_wish_has_to_be_shown_anew_and_what_is_not_allowed_is_said(
    browser: Browser, stage: Stage
) -> None:
    enter(browser, stage, stage.token("pat", Role.OPERATOR, services=["api"]), "todo")
    browser.type("#scale-service", "api")
    browser.type("#scale-instances", "8")
    browser.click("#scale-show")
    browser.until("!document.querySelector('#scale-do').disabled")
    browser.type("#scale-instances", "4000")
    browser.until("document.querySelector('#scale-do').disabled")
    browser.click("#scale-show")
    browser.reads("2 … 100")
    assert browser.value("document.querySelector('#scale-do').disabled")
    browser.type("#scale-service", "payments")  # there is none for who is limited to api
    browser.until("document.querySelector('#scale-show').disabled")


def test_who_was_away_gets_what_he_missed(browser: Browser, stage: Stage) -> None:
    enter(browser, stage, stage.token("pat", Role.VIEWER), "why")
    browser.reads("None so far.")
    browser.value(NOTED)
    stage.step(actions=[action("d-1", "api")])
    browser.reads("api 6 → 9")
    ring = stage.context.board.events
    browser.offline(True)
    ring.end()  # the stream that is open is cut as well, as by a cable that is pulled
    browser.reads("Disconnected", "#fresh")
    ring._over = False
    stage.step(actions=[action("d-2", "database")])
    browser.offline(False)
    browser.reads("database 6 → 9")
    sees(browser, stage, "Live", "#fresh")
    assert re.fullmatch(rf"{ring.epoch}-\d+", browser.value("window.seen.at(-1)"))


def test_a_decision_from_just_before_the_stream_began_is_seen_soon(
    browser: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(browser, stage, stage.token("pat", Role.VIEWER), "why")
    browser.reads("None so far.")
    sees(browser, stage, "Live", "#fresh")
    with monkeypatch.context() as unheard:
        unheard.setattr(stage.context.board.events, "publish", lambda *_, **__: None)
        stage.step(actions=[action("d-1", "api")])
    browser.reads("api 6 → 9")


def test_a_token_that_is_revoked_ends_the_visit(browser: Browser, stage: Stage) -> None:
    token = stage.token("pat", Role.VIEWER)
    enter(browser, stage, token)
    sees(browser, stage, "Safe:")
    stage.tokens.revoke(token.split("_")[1], time.time())
    stage.step()
    browser.reads("Show who you are")
    assert "812 weddings" not in browser.text("body") and "Safe" not in browser.text("body")
    assert browser.value("sessionStorage.length") == 0


def test_a_decision_has_a_page_of_its_own(browser: Browser, stage: Stage) -> None:
    stage.step(actions=[action("api-1ö", "api", explanation=f"{HOSTILE} asked for it")])
    stage.step(actions=[action("database-1", "database")])
    enter(browser, stage, stage.token("pat", Role.AUDITOR), "why")
    for service, left in (("database", 1), ("", 2), ("api", 1)):
        browser.choose("select", service)
        browser.until(f"document.querySelectorAll('a.item').length === {left}")
    browser.click("a.item")
    browser.reads("api back to 6")
    browser.reads("Permanent link")
    address = browser.value("location.href")
    assert "#/decisions/" in address
    browser.command("Page.navigate", url="about:blank")
    browser.open(address)
    browser.reads(f"{HOSTILE} asked for it")
    browser.reads("not carried out yet")


class TestHostileNames:
    @pytest.fixture
    def names(self) -> tuple[str, ...]:
        return (HOSTILE, "a'\"&<script>b", "\u202egnp.exe")

    def test_a_name_that_looks_like_markup_is_shown_as_it_is(
        self, browser: Browser, stage: Stage
    ) -> None:
        stage.noun = "<b>weddings</b>"
        stage.step(awaiting=[action("<i>d</i>", HOSTILE)], troubles={"<s>": ["<u>x</u>"]})
        enter(browser, stage, stage.token("pat", *Role))
        for view in ("now", "next", "todo"):
            browser.go(view)
            browser.reads(HOSTILE)
            assert browser.value(f"document.querySelectorAll({json.dumps(MARKUP)}).length") == 0


class TestManyServices:
    @pytest.fixture(params=[50, 5000])
    def names(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        return tuple(f"service-{i:04}" for i in range(request.param))

    def test_the_worst_are_in_front_and_any_can_be_searched_for(
        self, browser: Browser, stage: Stage, names: tuple[str, ...], pictures: Path
    ) -> None:
        stage.ready[names[-3]] = 2
        stage.step()
        enter(browser, stage, stage.token("pat", Role.OPERATOR))
        sees(browser, stage, "At risk:")
        browser.reads(names[-3], ".services tbody th")
        assert browser.value("document.querySelectorAll('.services tbody tr').length") <= 60
        browser.picture(pictures / f"services-{len(names)}.png", height=1500)
        browser.press("/")
        browser.until("document.activeElement.id === 'search'")
        browser.type("#search", names[-9])
        browser.until("document.querySelectorAll('.services tbody tr').length === 1")
        browser.reads(names[-9])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen_and_pictures_of_it_are_kept(
    browser: Browser, stage: Stage, pictures: Path, width: int, *, dark: bool
) -> None:
    stage.ready["payments"] = 2
    stage.step(
        actions=[action("d-1", "api")], awaiting=[action("d-2", "payments")],
        troubles={"metrics": ["Prometheus does not answer"]},
    )  # fmt: skip
    browser.screen(width, dark=dark)
    enter(browser, stage, stage.token("pat", *Role))
    for view, seen in VIEWS.items():
        browser.go(view)
        sees(browser, stage, seen)
        browser.picture(pictures / f"{view}-{width}-{'dark' if dark else 'light'}.png")
        browser.fits()
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 150) is dark


def test_everything_can_be_reached_with_keys(browser: Browser, stage: Stage) -> None:
    stage.step(actions=[action("d-1", "api")])
    enter(browser, stage, stage.token("pat", Role.OPERATOR))
    sees(browser, stage, "Safe:")
    browser.value("document.activeElement.blur()")
    browser.press("?")
    browser.reads("Search for a service", "#keys")
    browser.press("Escape")
    browser.until("!document.querySelector('#keys').open")
    browser.press("3")
    browser.reads("Decisions")
    browser.reads("api 6 → 9")
    browser.press("j")
    browser.press("Enter")
    browser.reads("Rollback plan")
    browser.press("u")
    browser.reads("The newest first")


def test_each_control_has_a_name_and_each_chart_a_table(browser: Browser, stage: Stage) -> None:
    stage.ready["payments"] = 2
    stage.step(actions=[action("d-1", "api")], awaiting=[action("d-2", "payments")])
    enter(browser, stage, stage.token("pat", *Role))
    nameless = (
        "[...document.querySelectorAll('button, input, select, a, svg[role=img], dialog[open]')]"
        ".filter((one) => !(one.textContent || one.ariaLabel || one.labels?.[0]?.textContent"
        " || one.getAttribute('aria-labelledby') || '').trim()).map((one) => one.outerHTML)"
    )
    for view, seen in VIEWS.items():
        browser.go(view)
        sees(browser, stage, seen)
        assert browser.value(nameless) == [], view
        assert browser.value(
            "[...document.querySelectorAll('svg[role=img]')]"
            ".every((one) => one.closest('figure').querySelector('table'))"
        )
        ids = browser.value("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids)), view
        assert browser.value("document.querySelectorAll('main h1, main h2').length") > 0


def test_axe_has_nothing_against_any_view(browser: Browser, stage: Stage, tmp_path: Path) -> None:
    if not AXE.exists():
        pytest.skip(f"{AXE} is missing: npm install --prefix {NODE} --ignore-scripts axe-core")
    stage.ready["payments"] = 2
    stage.step(
        actions=[action("d-1", "api")], awaiting=[action("d-2", "payments")],
        incidents=[incident("api")], troubles={"metrics": ["Prometheus does not answer"]},
    )  # fmt: skip
    make().write(tmp_path / "small" / "first")
    stage.context.records = Records(tmp_path)
    browser.command("Page.setBypassCSP", enabled=True)  # axe is no script of the page
    try:
        for dark, width in ((False, 1440), (True, 390)):
            browser.screen(width, dark=dark)
            enter(browser, stage, stage.token("pat", *Role))
            browser.value(AXE.read_text(encoding="utf-8") + ";0")
            for view, seen in {**VIEWS, "then//small/first": "As they were"}.items():
                browser.go(view)
                sees(browser, stage, seen)
                against = browser.value(
                    "axe.run(document, {resultTypes: ['violations']}).then((all) =>"
                    " all.violations.map((one) => [one.id, one.nodes[0].html]))"
                )
                assert against == [], (view, width)
            browser.click("#leave")
            browser.reads("Show who you are")
    finally:
        browser.command("Page.setBypassCSP", enabled=False)


def test_figures_are_utc_wherever_one_is_and_print_leaves_the_controls_out(
    browser: Browser, stage: Stage
) -> None:
    stage.step(actions=[action("d-1", "api")])
    enter(browser, stage, stage.token("pat", Role.OPERATOR))
    sees(browser, stage, "Safe:")
    now = time.strftime("%H:%M", time.gmtime(stage.context.look().time_s))
    try:
        for zone in ("Pacific/Kiritimati", "America/St_Johns"):
            browser.command("Emulation.setTimezoneOverride", timezoneId=zone)
            browser.open(f"{stage.url}/#/now")
            browser.reads(f"{now}:", "header time")
            here = time.gmtime(stage.context.look().time_s + browser.value(
                "-60 * new Date().getTimezoneOffset()"))  # fmt: skip
            clock = json.dumps(f"{here.tm_hour % 12 or 12}:{here.tm_min:02}:")
            browser.until(f"document.querySelector('header time').title.includes({clock})")
        browser.command("Emulation.setEmulatedMedia", media="print")
        hidden = "getComputedStyle(document.querySelector('{}')).display === 'none'"
        for controls in (".who", ".tools"):
            assert browser.value(hidden.format(controls)), controls
        assert not browser.value(hidden.format(".services"))
    finally:
        browser.command("Emulation.setTimezoneOverride", timezoneId="")
        browser.command("Emulation.setEmulatedMedia", media="")


def test_no_address_leads_elsewhere_and_no_other_origin_can_act(
    browser: Browser, stage: Stage
) -> None:
    token = stage.token("pat", Role.OPERATOR)
    for address in ("//evil.example/", "/page//evil.example", "/?next=//evil.example/",
                    "/%5Cevil.example", "/page/..%2f..%2fevil"):  # fmt: skip
        answer = httpx.get(stage.url + address, follow_redirects=False, timeout=PATIENCE_S)
        assert answer.status_code in (200, 400, 404), address
        assert "location" not in answer.headers
    enter(browser, stage, token, "now?next=https://evil.example/")
    browser.go("https://evil.example/")
    sees(browser, stage, "Safe:")
    assert browser.value("location.origin") == stage.url
    # Another page has neither the token nor an answer: nothing goes with a request by itself.
    for path in ("pauses", "floors", "actions/scale", "what-if"):
        answer = httpx.post(
            f"{stage.url}/api/scalability/{path}", json={"service": "api"},
            headers={"origin": "https://evil.example", "cookie": f"wedtwin-token={token}"},
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert answer.status_code == 401, path
        assert "access-control-allow-origin" not in answer.headers
    page = httpx.get(f"{stage.url}/", timeout=PATIENCE_S)
    assert page.headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in page.headers


def test_the_document_asks_for_every_script_at_once() -> None:
    document = files()[DOCUMENT].content.decode()
    asked = set(re.findall(r'(?:href|src)="/page/([a-z]+\.js)"', document))
    assert asked == {name for name in files() if name.endswith(".js")}


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip, deflate, br", True), ("br;q=1, gzip;q=0.8", True), ("GZIP", True), ("", False),
     ("identity", False), ("br, gzip;q=0", False), ("gzip; q=0.00", False), ("notgzip", False)],
)  # fmt: skip
def test_the_page_is_sent_packed_to_who_can_unpack_it(
    stage: Stage, accepted: str, is_packed: bool
) -> None:
    path, file = "/page/main.js", files()["main.js"]
    with httpx.Client(base_url=stage.url, trust_env=False, timeout=PATIENCE_S) as client:
        answer = client.get(path, headers={"accept-encoding": accepted})
        assert (answer.headers.get("content-encoding") == "gzip") is is_packed
        assert int(answer.headers["content-length"]) == len(
            file.packed if is_packed else file.content
        )
        assert answer.content == file.content  # unpacked by the client
        assert answer.headers["vary"] == "accept-encoding"
        other = client.get(
            path,
            headers={
                "accept-encoding": "identity" if is_packed else "gzip",
                "if-none-match": answer.headers["etag"],
            },
        )
        assert other.status_code == 200  # no other bytes under one validator
    assert sum(len(one.packed) for one in files().values()) <= 60_000


def test_the_page_is_small_and_its_policy_allows_nothing_from_elsewhere(stage: Stage) -> None:
    assert sum(len(file.content) for file in files().values()) <= 150_000
    with httpx.Client(base_url=stage.url, trust_env=False, timeout=PATIENCE_S) as client:
        for path in ("/", *(f"/page/{name}" for name in files())):
            answer = client.get(path)
            policy = answer.headers.get_list("content-security-policy")
            assert answer.status_code == 200
            assert len(policy) == 1 and policy[0].startswith("default-src 'self';")
            assert "unsafe" not in policy[0] and "frame-ancestors 'none'" in policy[0]
            again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            text = answer.text.replace("http://www.w3.org/", "")
            assert not re.search(r"https?://", text), path
        for path in (
            "/page/none.js",
            "/page/__init__.py",
            "/page/../page.html",
            "/page/%2e%2e/model.py",
        ):
            assert client.get(path).status_code == 404
        assert client.get("/openapi.json").json()["paths"].keys().isdisjoint({"/"})
