"""The tags that gradgrid puts on MLflow's runs and experiments. Each name is spelt here alone."""

from __future__ import annotations


class Tag:
    """Names of tags. Their values are text, as all of MLflow's tags."""

    KIND = "gradgrid.kind"
    """On a sweep's run, `sweep`; on an experiment, what it holds: `sweeps` or `trials`."""

    # on a sweep's run
    SPEC = "gradgrid.spec"
    EXPERIMENT = "gradgrid.experiment"
    """The id of the experiment that holds the sweep's trials."""
    TRIALS = "gradgrid.trials"
    """How many trials the sweep has."""
    OBJECTIVE = "gradgrid.objective"
    """The metric that its trials are ranked by."""
    RUNS = "gradgrid.runs"
    """Which trials have runs: `all`, `summary` for none, or `top 100`."""
    FINGERPRINT = "gradgrid.fingerprint"
    """A hash of the data set."""
    FOLDER = "gradgrid.folder"
    """The folder that relative paths of the sweep file start from."""
    FRAME = "gradgrid.frame"
    """Present where the data came from Python and are kept on the run."""
    JOB = "gradgrid.job"
    DRIVER = "gradgrid.driver"
    HEARTBEAT = "gradgrid.heartbeat"

    # on a trial's run
    SWEEP_RUN = "gradgrid.sweep_run"
    TRIAL = "gradgrid.trial"
    """A hash of the trial's hyperparameters, data set and engine version."""
    NUMBER = "gradgrid.number"
    """The trial's position in the grid."""
    OUTCOME = "gradgrid.outcome"
    OUTCOME_STEP = "gradgrid.outcome_step"
    LAST_STEP = "gradgrid.last_step"
    KERNEL = "gradgrid.kernel"
    HOST = "gradgrid.host"

    # on both
    SWEEP = "gradgrid.sweep"
    ENGINE = "gradgrid.engine"
    """The engine's version."""
