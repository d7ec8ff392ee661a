"""What the commands say of themselves."""

from __future__ import annotations

MAIN = """usage: python -m twin run [scenario=NAME] [key=value ...] [--config-dir DIR] [-m]
       python -m twin compare [scenario=NAME] [controllers=[A,B]] [replications=N] [key=value ...]
       python -m twin plan [date=DAY] [months=N] [risk=R] [simultaneous=N] [key=value ...]
       python -m twin check RECORD [--against BASELINE] [--update]
       python -m twin calibrate [key=value ...]
       python -m twin validate [key=value ...]
       python -m twin hunt [--worlds N] [--seconds S] [--workers W] [--seed K]
       python -m twin forecast day|wedding|season|train [key=value ...]
       python -m twin backtest [data=FOLDER] [calendar=FILE] [horizons=1,2] [key=value ...]
       python -m twin learn [out=FILE] [days=[DATE,DATE]] [replications=N] [key=value ...]

  run     simulate a scenario with the engine in the loop and write a run record with its report
  compare run several controllers in the same world and write a comparison
  plan    forecast the months to come, say what to buy and which service gives way first
  check   exit with 1 if a threshold of a run record failed, or a figure is worse than the baseline
  calibrate measure a live stack and write its platform file
  validate  compare the twin with a live stack, within limits
  hunt    look for scaling failures in random worlds; exit with 1 if there is one
  forecast  a day, one wedding or a season ahead; or train the day-ahead model
  backtest  forecast seasons or traces from rolling origins and say how wrong the forecasts are
  learn   learn from simulated days how departures from the outlook go on, for the engine

  python -m twin run --help    lists the scenarios and all keys
"""

COMPARE = """usage: python -m twin compare [key=value ...] [--config-dir DIR]

  controllers=[A,B]     whom to compare; names of the group controller (default: all that there are)
  hpa_targets=[50,70]   further CPU targets of hpa, in per cent, if it takes part; [] for none
  replications=N        so many seeds, the same for everybody; figures get confidence intervals
  key=value             everything else as for run: scenario=, seed=, output=, engine.limits.… =
"""

FORECAST = """usage: python -m twin forecast day|wedding|season|train [key=value ...]

  day      all weddings of a day:  date=YYYY-MM-DD [now=TIME] [weddings=FILE.csv] [model=FILE]
  wedding  one wedding:            date= time=HH:MM zone= type= guests= vendors= [now=TIME]
  season   a season by weeks:      year= season=spring|summer|fall|winter|all [now=TIME]
  train    the day-ahead model:    [model=FILE to write it to]

  key=value   everything else: seed=, output=, seasons.simultaneous=, engine.limits.… =
"""

BACKTEST = """usage: python -m twin backtest [key=value ...]

Without data= the twin's own seasons are forecast, service by service.

  data=PATH           a CSV file, or a folder searched for .csv and .csv.gz: time and value a row
  calendar=FILE       CSV of scheduled events (start, and if known kind and size); without it a
                      file fixtures*.csv beside a trace is taken
  horizons=1,2        hours ahead (default 1,2; with events and for the seasons 1,2,24)
  test_from=TIME      forecast from there on (default: the last 40 %, at most four weeks)
  days=14             of the seasons: days in each of four quarters
  seed=1              of the seasons and of the bootstrap
  workers=N           processes (default: as many as cores)
  output=outputs      folder for the record
"""

PLAN = """usage: python -m twin plan [key=value ...] [--config-dir DIR]

  date=2027-01-01       the day of planning: the first date that is planned for
  months=12             so many months (1 ... 12)
  risk=0.02             accepted probability that in a month a service needs more than its limit
  simultaneous=100000   weddings at once at the busiest instant of the year before
  check=false           do not run the twin at the limits that the plan predicts
  pricing=NAME          prices, of the group pricing
  key=value             everything else: seed=, output=, budget.instances=, platform.services.… =
"""
