"""What a result's reader is told besides the number."""

import msgspec

from leadline.records.device import Conditions
from leadline.records.trial import Launch
from leadline.stats.flags import flags
from tests.unit.stats.launches import a_block, a_launch


def precise(*walls: int, **changes: object) -> Launch:
    return msgspec.structs.replace(a_launch(a_block(walls)), stop="precise", **changes)


def test_a_precise_undisturbed_measurement_needs_no_word() -> None:
    assert flags([precise(100, 101), precise(100, 99)]) == []


def test_a_cap_is_counted_over_the_launches() -> None:
    capped = msgspec.structs.replace(precise(100), stop="cap")
    assert flags([capped, precise(100), capped]) == ["cap: reached in 2 of 3 launches before the asked precision"]


def test_contention_is_told_with_its_cause() -> None:
    waited = a_launch(a_block([200] * 10, cpu_ns=[100] * 10))
    (flag,) = flags([msgspec.structs.replace(waited, stop="precise")])
    assert flag.startswith("contention: 10 of 10 inferences waited")


def test_throttling_in_a_timed_block_is_told_but_not_in_a_warm_up() -> None:
    hot = Conditions(
        temps_c={"cpu": 84.0},
        freqs_khz={},
        battery_percent=None,
        power_source=None,
        load_1min=None,
        memory_available_bytes=None,
        throttled=True,
    )
    timed = msgspec.structs.replace(a_block([100] * 10), conditions=hot)
    warmup = msgspec.structs.replace(timed, warmup=True)
    (flag,) = flags([msgspec.structs.replace(a_launch(warmup, timed), stop="precise")])
    assert flag.startswith("throttled: in 1 of 1 blocks")
    assert flags([msgspec.structs.replace(a_launch(warmup, a_block([100] * 10)), stop="precise")]) == []


def test_a_launch_without_timed_samples_is_no_reason_for_a_word() -> None:
    assert flags([]) == []
    assert flags([precise()]) == []
