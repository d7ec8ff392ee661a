"""What the commands say of themselves."""

from __future__ import annotations

from engine.config.tree import page

RUN = page(
    "twin",
    """usage: python -m twin run [key=value ...] [--config-dir DIR] [--cfg job] [-m]

  key=value         any key below, and all keys of the groups; group=NAME chooses one of its files
  --config-dir DIR  a folder of your own, searched besides the packaged tree
  --cfg job         show the whole configuration instead of running
  -m                a sweep: key=A,B runs each
  --hydra-help      what Hydra itself can do
""",
)
SERVE = page("serve", "usage: python -m twin serve [key=value ...]\n")
CALIBRATE = page("calibration", "usage: python -m twin calibrate [key=value ...]\n")
VALIDATE = page("calibration", "usage: python -m twin validate [key=value ...]\n")

COMPARE = """usage: python -m twin compare [key=value ...] [--config-dir DIR]

  controllers=[A,B]     whom to compare; names of the group controller (default: all)
  hpa_targets=[50,70]   further CPU targets of hpa, in per cent, if it takes part; [] for none
  kpa_delays=[900]      further scale-down delays of kpa, in seconds, if it takes part; [] for none
  replications=N        number of seeds, the same for everybody; figures get confidence intervals
  key=value             everything else as for run: scenario=, seed=, output=, engine.limits.… =
"""

PRICE = """usage: python -m twin price [key=value ...] [--config-dir DIR]

Runs the engine without each of its safety rules in turn, on the day as it is and on a day with the
fault that the rule protects against.  An interrupted command continues where it stopped.

  scenario=[A,B]      where (default june_peak)
  weddings=[N,M]      at these sizes instead of each scenario's own
  seeds=N             number of seeds, the same for everybody (default 3)
  rules=[A,B]         these rules only; all of them are in conf/price/rules.yaml
  threats=false       the day as it is only
  workers=N           processes (default: as many as cores)
  key=value           everything else as for run: seed=, output=, engine.limits.… =
"""

HINDCAST = """usage: python -m twin hindcast scenario=NAME [key=value ...] [--config-dir DIR]

Plays the days that `python -m engine import prometheus` kept back, and compares the twin with what
was measured, within the limits of `twin validate`.

  scenario=NAME      of the import; its files are in --config-dir
  measured=FILE      what was measured (default: measured.json beside the scenario's load)
  controllers=[A,B]  who scales in the twin (default: NAME_hpas, the team's own autoscalers, and
                     NAME_as_measured, the measured counts)
  key=value          everything else as for run: seed=, output=, platform.services.… =
"""

FORECAST = """usage: python -m twin forecast day|wedding|season|train [key=value ...]

  day      all weddings of a day:  date=YYYY-MM-DD [now=TIME] [weddings=FILE.csv] [model=FILE]
  wedding  one wedding:            date= time=HH:MM zone= type= guests= vendors= [now=TIME]
  season   a season by weeks:      year= season=spring|summer|fall|winter|all [now=TIME]
  train    the day-ahead model:    [model=FILE to write it to]

  key=value   everything else: seed=, output=, engine.limits.… =
              population.simultaneous=   the platform's weddings at once (100,000, as for run)
              seasons.drawn=             how many are drawn to learn from, and multiplied (2,000)
"""

DETECT = """usage: python -m twin detect [key=value ...]

  worlds=N      number of worlds with a fault, each kind in its turn (default 26)
  saturdays=N   whole Saturdays in June without a fault, also seen without the calendar (default 1)
  deliveries=N  worlds in which notices are on their way while things break (default 0)
  seed=1        of the worlds
  workers=N     processes (default: as many as cores)
  output=FOLDER where to (default outputs); detection.json in it has every world
  key=value     everything else as for run: monitor.limits.… =, population.date= …
"""

LEASES = """usage: python -m twin leases [key=value ...]

Three to seven engines share a lease table by the protocol that runs in production; engines are
killed and paused, messages are cut off, late, lost and doubled, clocks are set.  Exit code 1 if an
action counts under an old epoch, two act at once, a shard has no owner for 15 s while there is a
way to the table, or a history is not linearizable.

  worlds=N      number of worlds (default 1000), of 42 s each
  seed=0        of the first world
  histories=N   check the history of each N-th world (default 1; 0: of none)
  plants=N      also plant faults, one by one: each has to be detected in N worlds (default 0: no)
  workers=N     processes (default: as many as cores)
"""

BENCHMARK = """usage: python -m twin benchmark nab|microsoft|nezha data=FOLDER [key=value ...]

The monitor's own detectors on series that others have labelled, value by value, with thresholds
that were chosen before (conf/benchmark.yaml), beside a simple rule.

  data=FOLDER      nab: labels/combined_windows.json and data/GROUP/NAME.csv
                   microsoft: GROUP/NAME.csv with timestamp, value, label
                   nezha: DAY/metrics.csv and DAY/faults.csv; all may end in .csv.gz
  thresholds=FILE  your own thresholds
  freeze=FILE      choose thresholds on these series, and write them down with the date
  output=FOLDER    where to (default outputs); benchmark.json in it has every figure
"""

BACKTEST = """usage: python -m twin backtest [key=value ...]

Without data= the twin's own seasons are forecast, service by service.

  data=PATH           a CSV file, or a folder searched for .csv and .csv.gz: time and value a row
  calendar=FILE       CSV of scheduled events (start, and if known kind and size); without it a
                      file fixtures*.csv beside a trace is taken
  horizons=1,2        hours ahead (default 1,2; with events and for the seasons 1,2,24)
  test_from=TIME      forecast from there on (default: the last 40 %, at most four weeks)
  trace.column=NAME   and trace.time_zone=, .series=, .decimal=, .time_format= ...: how traces are
                      to be read, as for run scenario=trace
  days=14             of the seasons: days in each of four quarters
  population.simultaneous=N   of the seasons: the platform's weddings at once (100,000)
  seed=1              of the seasons and of the bootstrap
  workers=N           processes (default: as many as cores)
  output=outputs      folder for the record
"""

PLAN = """usage: python -m twin plan [key=value ...] [--config-dir DIR]

  date=2027-01-01       the day of planning: the first date that is planned for
  months=12             number of months (1 ... 12)
  risk=0.02             accepted probability that in a month a service needs more than its limit
  population.simultaneous=N   the platform's weddings at once (100,000), in the year before
  check=false           do not run the twin at the limits that the plan predicts
  pricing=NAME          prices, of the group pricing
  key=value             everything else: seed=, output=, budget.instances=, platform.services.… =
"""

LEARN = """usage: python -m twin learn [out=FILE] [days=[A,B]] [replications=N] [key=value ...]

  out=FILE           where the model goes (default models/blend.skops)
  days=[A,B]         days to learn from, ISO dates (default: the scenario's own)
  replications=N     so many seeds of each day
  key=value          everything else as for run: scenario=, seed=, trace.path=, ...

  then:  python -m twin run engine.forecast.artefact=FILE
"""

STAGING = """usage: python -m twin staging up|down|status|demo [key=value ...]

  up       start HAProxy, PostgreSQL, Redis, Prometheus and the workers of each service
  down     stop exactly these, also after a crash, and remove the folder
  status   say what runs; exit with 1 if something does not
  demo     up, a scenario's peak with Locust while the engine scales, down; leaves a run record

  folder=DIR               where everything is (default: /tmp/wedtwin-staging)
  platform=NAME            the services and their capacity (default: staging)
  platform.services.api.slots=8, platform.services.api.max_instances=4, …
  port=N prometheus_port=N ports to use (default: any free ones)
  seed=N                   of boot and service times
  weddings=N               ids 1 … N are known (default: 1000)
  keep_logs=true           for down: leave the logs
  demo.scenario=NAME demo.scale=X demo.speed=X demo.start=T demo.duration_s=S demo.output=DIR
"""

EVIDENCE = """usage: python -m twin evidence [CLAIM ...] [key=value ...]
       python -m twin evidence verify FOLDER [key=FILE]
       python -m twin evidence page FOLDER [date=DAY] [out=FILE]

Without a CLAIM, such as 1.3, all are measured.  Interrupted, the same command goes on where it was.
Exits with 1 if a claim that was measured is not shown, or if a bundle was touched.

  level=quick        fewer and smaller runs, with wider intervals; level=full is what one signs
  seed=1             of everything that is simulated
  day=YYYY-MM-DD     the day that is to be carried, for the page
  load=TEXT          and its load, in words
  signer=NAME        who signs
  key=FILE           an Ed25519 key (PEM): signs the statements; for verify, the public one
  claims=FOLDER      claims of your own besides the product's, a YAML file each
  output=DIR         where bundles are kept (default: outputs/evidence)

  date=DAY out=FILE  of page: as of that day, and where it goes (default: today, FOLDER.html)
"""

GUARD = """usage: python -m twin guard [WORLD ...] [key=value ...]
       python -m twin guard update [key=value ...]
       python -m twin guard power [PLANT ...] [key=value ...]

Runs short worlds at full size and compares them with the baseline; exits with 1 if a figure is
worse by more than is allowed.  `update` shows what changed and makes the engine as it is the
baseline.
`power` plants regressions, in settings and in code, and says which are seen by which figure; exits
with 1 if too few are, or if the engine as it is raises an alarm.  Interrupted, it goes on.

  seeds=1            so many of the baseline's seeds of each world (up to 12)
  other=K            other seeds instead, that follow from K, against the spread of the baseline's
  baseline=FILE      default: tests/regression/baselines/guard.json
  worlds=FILE        and plants=FILE: in place of conf/guard/worlds.yaml and plants.yaml
  repeats=100        of power: clean repeats with other seeds and other rounding
  harm=unseen        of power: whose harm is judged at full size: unseen, all or none
  output=DIR         for what is said as Markdown, and what is kept (default: outputs/guard)
"""
