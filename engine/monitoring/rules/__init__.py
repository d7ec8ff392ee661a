"""The rules: each looks at a figure that anybody understands, against a threshold of the settings.

All are detectors (`engine.monitoring.picture.Detector`), a class a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.model import ServiceSpec
from engine.monitoring.picture import Detector, Watched
from engine.monitoring.rules.burn import BurnRates
from engine.monitoring.rules.capacity import Capacity
from engine.monitoring.rules.instances import OddInstances
from engine.monitoring.rules.limits import FigureLimits
from engine.monitoring.rules.promises import Promises
from engine.monitoring.rules.queue import QueueGrowth
from engine.monitoring.rules.restarts import Restarts
from engine.monitoring.rules.saturation import SaturationAhead
from engine.monitoring.rules.silence import Silences
from engine.monitoring.rules.wild import WildSamples
from engine.monitoring.settings import MonitorSettings


def rules(specs: Sequence[ServiceSpec], settings: MonitorSettings) -> Mapping[str, Detector]:
    """All rules by their name."""
    traits = Watched.of(specs)
    return {
        "limits": FigureLimits(traits, settings),
        "queue": QueueGrowth(traits, settings),
        "saturation": SaturationAhead(traits, settings.saturation),
        "silence": Silences(traits, settings),
        "burn_rate": BurnRates(traits, settings.slo, settings.every_s),
        "capacity": Capacity(traits, settings.capacity),
        "restarts": Restarts(traits, settings.restarts),
        "promises": Promises(traits, settings),
        "wild": WildSamples(traits, settings.wild),
        "instances": OddInstances(traits, settings.instances),
    }
