"""One cluster for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.cluster.compose import Cluster, running_cluster
from tests.cluster.outside import bring_up, gradgrid, training_hosts


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster as the tests before have left it."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The cluster, healthy and with two workers, also after a test that broke it."""
    bring_up(running)
    return running


@pytest.fixture(scope="session")
def swept(running: Cluster) -> str:
    """The output of the command that ran the ready sweep breast_cancer on the cluster."""
    bring_up(running)
    done = gradgrid(running, "submit", "experiments/breast_cancer.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    workers = {c[:12] for c in running.containers("ray-worker")}
    assert training_hosts(running, "breast_cancer") <= workers  # one may train all before the other has started
    return done.stdout
