"""The names of the tags that gradgrid sets on MLflow's runs and experiments."""

from __future__ import annotations


class Tag:
    """Names of tags. Values are text."""

    KIND = "gradgrid.kind"
    """On a sweep's run, `sweep`; on an experiment, what it holds: `sweeps` or `trials`."""

    # on a sweep's run
    SPEC = "gradgrid.spec"
    EXPERIMENT = "gradgrid.experiment"
    """The id of the experiment that holds the sweep's trials."""
    TRIALS = "gradgrid.trials"
    """The number of trials."""
    OBJECTIVE = "gradgrid.objective"
    """The metric that ranks the trials."""
    RUNGS = "gradgrid.rungs"
    """The rungs of a search by halving or Hyperband, in steps: `10,30,90`."""
    RUNS = "gradgrid.runs"
    """Which trials have runs: `all`, `summary` for none, or `top 100`."""
    FINGERPRINT = "gradgrid.fingerprint"
    """A hash of the data set."""
    FLOAT32 = "gradgrid.float32"
    """The version of the arithmetic of float32. Sweeps before version 2 have no such tag."""
    FOLDER = "gradgrid.folder"
    """The folder from which relative paths of the sweep file start."""
    FRAME = "gradgrid.frame"
    """Set if the data came from Python, so that the run has them."""
    JOB = "gradgrid.job"
    """The id of the cluster's job that began the sweep."""
    DRIVER = "gradgrid.driver"
    """The process that runs the sweep, as JSON."""
    ZOOM_OF = "gradgrid.zoom_of"
    """The id of the sweep that this one shows closer."""
    HEARTBEAT = "gradgrid.heartbeat"
    """When the driver last showed that it is at work, in milliseconds since 1970."""

    # on a trial's run
    SWEEP_RUN = "gradgrid.sweep_run"
    """The id of the sweep's own run."""
    TRIAL = "gradgrid.trial"
    """A hash of the trial's hyperparameters, data set and engine version."""
    NUMBER = "gradgrid.number"
    """The trial's position in the grid."""
    OUTCOME = "gradgrid.outcome"
    """A word of `engine.outcomes`."""
    OUTCOME_STEP = "gradgrid.outcome_step"
    """The step at which the outcome began."""
    LAST_STEP = "gradgrid.last_step"
    """The last step with a finite loss."""
    KERNEL = "gradgrid.kernel"
    """The kernel that trained the trial."""
    HOST = "gradgrid.host"
    """The machine that trained the trial."""

    # on both
    SWEEP = "gradgrid.sweep"
    """The sweep's id."""
    ENGINE = "gradgrid.engine"
    """The engine's version."""
