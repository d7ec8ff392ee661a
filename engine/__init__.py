"""The scaling engine: a pure, wedding-aware reconciler and the parts it is made of."""

from engine.autoscaler import Autoscaler
from engine.settings import EngineSettings

__all__ = ["Autoscaler", "EngineSettings"]
