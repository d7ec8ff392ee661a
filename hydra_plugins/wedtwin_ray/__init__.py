"""Hydra's joblib launcher on a Ray cluster, through joblib's own Ray backend.

    python -m twin run -m hydra/launcher=ray seed=1,2,3

`address` null starts a local cluster for the sweep, "auto" joins the one that runs on this machine,
anything else is handed to `ray.init`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RayLauncher(Launcher):
    """Runs the jobs of a sweep as tasks of Ray."""

    def __init__(self, address: str | None = None, num_cpus: int | None = None) -> None:
        self._address = address
        self._num_cpus = num_cpus
        self._context: HydraContext | None = None
        self._task: TaskFunction | None = None
        self._config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """What Hydra gives a launcher before the first batch."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch; the results are in the order of the jobs."""
        import joblib

        from engine.config.strict import ConfigError

        try:
            import ray
        except ModuleNotFoundError as error:
            raise ConfigError(
                "hydra/launcher: \"ray\" is not installed: pip install 'wedtwin[ray]'"
            ) from error
        from hydra_plugins.hydra_joblib_launcher._core import execute_job
        from ray.util.joblib import register_ray

        setup_globals()
        if not ray.is_initialized():
            options: dict[str, Any] = {"log_to_driver": True, "include_dashboard": False}
            if self._address is None:
                options["num_cpus"] = self._num_cpus
            ray.init(address=self._address, **options)
        register_ray()  # type: ignore[no-untyped-call]
        state = Singleton.get_state()
        jobs = [
            joblib.delayed(execute_job)(
                initial_job_idx + i, list(overrides), self._context, self._config, self._task, state
            )
            for i, overrides in enumerate(job_overrides)
        ]
        with joblib.parallel_config(backend="ray", n_jobs=-1):
            runs: list[JobReturn] = joblib.Parallel()(jobs)
        return runs
