"""From words to trials."""

import random
from datetime import UTC, datetime

import pytest

from leadline.campaign.plan import new_campaign, plan_trials, resolve_config
from leadline.core.errors import BadInput
from leadline.records.trial import RunConfig
from leadline.stats.protocols import DEFAULT
from tests.support.records import make_artifact, make_profile

PROFILE = make_profile(random.Random(1), "serial")
ALL = PROFILE.cpus
BIG = next(cluster.cpus for cluster in PROFILE.clusters if cluster.name == "big")


def test_all_threads_of_an_unpinned_run_are_all_cpus() -> None:
    assert resolve_config(PROFILE, device="d", threads=None) == RunConfig(threads=len(ALL))


def test_a_cluster_is_pinned_to_and_all_threads_are_its_cpus() -> None:
    config = resolve_config(PROFILE, device="d", threads=None, cluster="big")
    assert (config.threads, config.cpus, config.cluster) == (len(BIG), BIG, "big")


def test_cpus_are_pinned_to_in_order_and_once() -> None:
    assert resolve_config(PROFILE, device="d", threads=1, cpus=(1, 0, 1)).cpus == (0, 1)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"threads": 1, "cluster": "huge"}, r"d: no cluster 'huge'; it has: little \(0-1\), big"),
        ({"threads": 1, "cpus": (0, 99)}, "d: no CPU 99"),
        ({"threads": 3, "cpus": (0, 1)}, "d: 3 threads on 2 CPUs; ask for 1 to 2, or all"),
        ({"threads": 0}, "d: 0 threads"),
    ],
)
def test_what_the_device_does_not_have_is_refused_naming_what_it_has(asked: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        resolve_config(PROFILE, device="d", **asked)


def test_every_model_is_planned_once_under_every_distinct_configuration_interleaved() -> None:
    rng = random.Random(2)
    first, second = make_artifact(rng, "a"), make_artifact(rng, "b")
    one, two = RunConfig(threads=1), RunConfig(threads=2)
    campaign = new_campaign("night", datetime.now(UTC))
    trials = plan_trials(campaign, PROFILE, [first, second, first], [one, two, one], DEFAULT)
    assert [(trial.model_name, trial.config.threads) for trial in trials] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert len({trial.id for trial in trials}) == 4
    assert {trial.campaign_id for trial in trials} == {campaign.id}


def test_a_campaign_names_the_versions_that_its_numbers_may_depend_on() -> None:
    versions = new_campaign("night", datetime.now(UTC)).versions
    assert {"leadline", "python", "ai-edge-litert"} <= set(versions)
