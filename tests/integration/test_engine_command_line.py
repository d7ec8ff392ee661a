"""`python -m engine run` and `status` as a user types them: what is refused, and how it is said."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from pathlib import Path

import pytest

from engine.adapters.lease_file import take_lead
from engine.adapters.store import statements
from engine.adapters.store.sqlite import FILE, local_desk
from engine.commands import status
from engine.config.composition import composed
from engine.config.hydra_errors import choices
from engine.config.live import LiveConfig, handed, parse
from engine.config.load import build
from engine.config.recurrence import Recurrence
from engine.config.standing import StandingFloor, StandingRequests
from engine.config.strict import ConfigError
from engine.model import Direction, ManualFloor, ManualScale, Pause
from scenarios.weddings.config import PopulationConfig
from tests import warm
from twin.world.booked_day import BookedDay


def engine(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("engine", *arguments, cwd=cwd)


def parsed(*overrides: str) -> LiveConfig:
    return parse(composed(overrides, root="live"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "infrastructure=simulated"], "infrastructure.factory: is missing"),
        (["run", "infrastructure=haprox"], 'infrastructure: "haprox" is not allowed'),
        (["run", "schedule.sped=60"], "schedule.sped: unknown key; did you mean schedule.speed"),
        (
            ["run", "infrastructure.options.folder=/nowhere"],
            "infrastructure.options.folder: no stack is up in /nowhere",
        ),
        (
            ["run", "live.floors=[{service:apj,instances:3}]"],
            'live.floors.0.service: "apj" is not allowed (api, ',
        ),
        (["rum"], '"rum" is not a command; did you mean run?'),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = engine(*arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "outputs" / "june_peak").exists()


def test_it_is_a_hydra_app(tmp_path: Path) -> None:
    shown = engine("run", "--cfg", "job", "live.duration_s=7", cwd=tmp_path)
    assert shown.returncode == 0
    assert "duration_s: 7" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["live.duration_s=-1"], "live.duration_s: -1 is not allowed"),
        (["live.observe_timeout_s=0"], "live.observe_timeout_s: 0 is not allowed"),
        (["controller=clairvoyant"], 'controller: "clairvoyant" needs foresight'),
        (["+live.thresholds.a=quickly"], 'live.thresholds.a: give a path, an operator'),
        (["engine.cycle_s=soon"], 'engine.cycle_s: "soon" is not allowed (more than 0 … 3,600)'),
        (["metrics.factory=prometheus"], "metrics.factory"),
        (["+outptu=here"], "outptu: unknown key; did you mean output"),
        (["+populaton=us"], "populaton: unknown key; did you mean population"),
        (["bookings.keys=[sed]"], "bookings.keys: sed is not allowed (seed, "),
        (["+reporter.x=1"], "reporter"),
        (["reporter=reports"], "reporter: \"reports\" is not allowed"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_allowed(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked(overrides)
    assert said in str(refused.value)


def checked(overrides: list[str]) -> None:
    """As far as it is looked at before anything is connected."""
    raw = composed(overrides, root="live")
    handed(parse(raw), raw)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["schedule.speed=60"], "schedule.from: is missing"),
        (["schedule.scale=0"], "schedule.scale: 0 is not allowed (more than 0 … 1,000)"),
        (["schedule.from=noon"], "schedule.from: "),
        (["schedule.from=-5"], "schedule.from: "),
        (["schedule.from='25:00'"], "schedule.from: "),
        (["population.simultaneous=-5"], "population.simultaneous: -5 is not allowed (1 …"),
        (["+population.simultanous=5"], "population.simultanous: unknown key; did you mean simul"),
        (["scenario=worldcup98"], "scenario: it plays a recorded trace"),
        (["bookings.keys=[seed,population,demand]"], "bookings.schedule: is missing"),
        (["+bookings.options.demnd=1"], "bookings.demnd: unknown key; did you mean demand"),
    ],
)  # fmt: skip
def test_whoever_knows_the_bookings_names_what_is_wrong_with_them(
    overrides: list[str], said: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        booked(*overrides)
    assert said in str(refused.value)


def booked(*overrides: str, begins_s: float = 0.0) -> BookedDay:
    """The bookings as `engine run` finds them."""
    few = [] if any("simul" in o or "scenario=" in o for o in overrides) else [
        "population.simultaneous=20"
    ]  # fmt: skip
    raw = composed([*few, *overrides], root="live")
    config = parse(raw)
    made: BookedDay = build(
        config.bookings.factory,
        config.platform.specs(),
        begins_s,
        key="bookings.factory",
        options=handed(config, raw),
        options_key="bookings",
        methods=("outlook", "close"),
    )
    return made


@pytest.mark.parametrize("name", sorted(set(choices("scenario", ())) - {"trace", "worldcup98"}))
def test_each_scenario_brings_its_world_and_its_limits_are_not_those_of_the_run(name: str) -> None:
    config = parsed(f"scenario={name}")
    assert config.scenario.name == name
    assert config.live.thresholds == {}


def test_the_engine_of_a_rehearsal_has_the_calendars_times_divided_by_its_speed() -> None:
    real, rehearsal = parsed().engine, parsed("engine=staging").engine
    for section, name in (
        ("weddings", "lead_s"), ("weddings", "protection_s"), ("cost", "window_s"),
        ("forecast", "surge_decay_s"), ("forecast", "level_decay_s"),
    ):  # fmt: skip
        ratio = getattr(getattr(real, section), name) / getattr(getattr(rehearsal, section), name)
        assert ratio == pytest.approx(60.0)
    assert rehearsal.cycle_s == real.cycle_s == 15.0
    assert rehearsal.sample_s == real.sample_s == 5.0
    assert rehearsal.limits.cooldown_out_s == 2 * rehearsal.cycle_s
    assert rehearsal.limits.cooldown_in_s == 2 * rehearsal.cycle_s


def test_a_compressed_day_has_the_rates_of_the_day_at_other_times() -> None:
    small = ("population.simultaneous=200",)
    start_s = PopulationConfig(**composed(small, root="live")["population"]).start_s
    day = booked(*small).source.outlook(start_s + 7200.0)
    now_s = 1_800_000_000.0
    part = booked(
        "schedule.from=7200", "schedule.speed=60", "schedule.scale=0.5", *small, begins_s=now_s
    )
    shown = part.source.outlook(now_s)
    assert shown.bin_s == day.bin_s / 60.0
    for wall_s in (0.0, 30.0, 100.0):
        there = int((start_s + 7200.0 + 60.0 * wall_s - day.start_s) / day.bin_s)
        here = round((now_s + wall_s - shown.start_s) / shown.bin_s)
        assert shown.load[:, here] == pytest.approx(0.5 * day.load[:, there], rel=1e-9)
        assert shown.events[here] == pytest.approx(0.5 * day.events[there], rel=1e-9)
    assert shown is part.source.outlook(now_s + 1.0)


def test_bookings_say_what_was_played_between_two_times_in_truth() -> None:
    small = ("population.simultaneous=200",)
    start_s = PopulationConfig(**composed(small, root="live")["population"]).start_s
    whole, now_s = booked(*small), 1_800_000_000.0
    part = booked(
        "schedule.from=7200", "schedule.speed=60", "schedule.scale=0.5", *small, begins_s=now_s
    )
    day = whole.played(start_s + 7200.0, start_s + 7200.0 + 3600.0)
    hour = part.played(now_s, now_s + 60.0)
    assert 0 < day.events < day.booked == hour.booked
    assert hour.events == round(0.5 * day.events)
    assert (hour.from_at, hour.to_at) == (day.from_at, day.to_at)
    assert (day.speed, day.scale, hour.speed, hour.scale) == (1.0, 1.0, 60.0, 0.5)
    assert hour.events <= part.played(now_s, now_s + 120.0).events
    assert whole.played(now_s - 1e9, now_s - 1e9 + 60.0).events == 0  # of another year


def test_the_status_says_who_leads_and_what_people_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = local_desk(tmp_path)
    desk.ask(ManualFloor("api", 9, time.time() + 60.0, "ada"))
    desk.ask(ManualScale("one", "api", 12, time.time() + 60.0, "eve"))
    desk.ask(Pause("database", Direction.IN))
    always = Recurrence(cron="* * * * *", time_zone="UTC", duration_s=3600.0)
    never_now = Recurrence(cron="0 8 29 2 *", time_zone="Europe/Rome", duration_s=60.0)
    desk.ask(ManualFloor("api", 20, math.inf, "bob"), never_now)
    lead = take_lead(tmp_path, time.time())
    counts = {"desired": 2, "ready": 1, "booting": 1, "draining": 0, "newest_sample_s": None}
    seen = {
        "time_s": time.time(), "acts": True, "steps": 3, "skipped": 1, "services": {"api": counts},
        "counted_s": {"api": time.time() - 4.0, "database": 0.0},
        "floors": {"api": 4}, "troubles": {"metrics": ["cpu: no answer"]}, "awaiting": ["api-12"],
        "standing": StandingRequests(
            floors=(StandingFloor(service="api", instances=7, schedule=always),)
        ).model_dump(mode="json"),
    }  # fmt: skip
    desk.database.write(lambda to: statements.show(to, json.dumps(seen), lead.fence)).result()
    assert status.run(["--state", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"acts; last step \d+ s ago, 3 steps, 1 that could not be made", said)
    for part in (
        "leads",
        "api: 2 desired, 1 ready, 1 booting, 0 draining, counts 4.0 s old; no sample, wedding "
        "floor 4", "database: no counts for ",
        "trouble: metrics: cpu: no answer", "waits for approval: api-12",
        "floor: api at least 9, by ada\n", "paused: database (in)\n", "scale: api to 12, by eve\n",
        'floor: api at least 20, by bob, at "0 8 29 2 *" Europe/Rome, for 0.0166667 h: not now; '
        "next Tue 2028-02-29 08:00 CET, Sun 2032-02-29 08:00 CET",
        'floor: api at least 7, by the configuration, at "* * * * *" UTC, for 1 h: now, until ',
    ):  # fmt: skip
        assert part in said
    day_ahead = seen | {"time_s": math.floor(time.time()) + 86_400.0}
    desk.database.write(lambda to: statements.show(to, json.dumps(day_ahead), lead.fence)).result()
    assert status.run(["--state", str(tmp_path)]) == 0
    assert re.search(r"acts; last step at \S+ \S+ UTC by its own clock, 3", capsys.readouterr().out)
    lead.release()
    assert status.run(["--state", str(tmp_path)]) == 1
    assert "no engine leads" in capsys.readouterr().out
    assert status.run(["--state", str(tmp_path / "nowhere")]) == 2
    desk.close()
    (tmp_path / FILE).write_text("no store")
    assert status.run(["--state", str(tmp_path)]) == 2
    assert f"{FILE}: file is not a database; put the file aside" in capsys.readouterr().err


INFRASTRUCTURE = """
from engine.ports.infrastructure import Unreachable

class Locked:
    def __init__(self, specs, password, accounts):
        self.password = password
        with open("adapter.txt", "w") as file:
            print(password, accounts, file=file)

    def observe(self):
        raise Unreachable(f"cannot log in with {self.password}")

    def apply(self, actions):
        return ()

    def close(self):
        pass

def connect(specs, password="", accounts=()):
    return Locked(specs, password, accounts)
"""


def test_a_secret_reaches_its_adapter_and_nothing_that_a_live_run_writes(tmp_path: Path) -> None:
    secret = "s3cr3t-Value"
    (tmp_path / "locked.py").write_text(INFRASTRUCTURE)
    ended = engine(
        "run", "scenario=quiet_tuesday", "live.duration_s=6", "~infrastructure",
        f"+infrastructure={{factory: 'locked:connect', options: {{password: {secret}, "
        f"accounts: [{{api_key: '{secret}'}}]}}}}",
        f"metrics.url=http://scraper:{secret}@127.0.0.1:9/api",
        f"+metrics.headers.Authorization='Bearer {secret}'",
        f'+metrics.parameters={{token: "{secret}"}}',
        cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0
    assert (tmp_path / "adapter.txt").read_text().count(secret) == 2
    assert "cannot log in with (not recorded)" in ended.stderr
    assert secret not in ended.stdout + ended.stderr
    record = Path(ended.stdout.strip())
    assert "(not recorded)" in (tmp_path / record / "config.yaml").read_text()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert [path.name for path in written if secret.encode() in path.read_bytes()] == [
        "adapter.txt"
    ]
