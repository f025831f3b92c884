"""Small random but valid records, the same for the same seed; and what a lab of them looks like in a store."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from leadline.records.device import Cache, Cluster, Conditions, Profile, Sensor
from leadline.records.roofline import KernelPoint, Sweep
from leadline.records.trial import (
    Artifact,
    Attempt,
    Block,
    Campaign,
    Fingerprint,
    Launch,
    MeasureProtocol,
    OpTime,
    Outcome,
    Ready,
    RunConfig,
    TensorInfo,
    Trial,
)

START = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)
PROTOCOL = MeasureProtocol(
    name="default", launches=3, batch=10, min_runs=20, max_runs=100, max_warmup=20, half_width=0.01
)


def make_id(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def make_profile(rng: random.Random, serial: str, **changes: Any) -> Profile:
    big = rng.randint(1, 4)
    profile = Profile(
        serial=serial,
        taken_at=START + timedelta(minutes=rng.randint(0, 10_000)),
        model=rng.choice([None, "Raspberry Pi 4 Model B Rev 1.4", 'Pixel "7"; $(reboot)']),
        soc=rng.choice([None, "BCM2711"]),
        abi="aarch64",
        features=("asimd", "fp16"),
        os="Debian GNU/Linux 12 (bookworm)",
        os_kind="linux",
        kernel=rng.choice([None, "6.1.0-rpi7"]),
        libc="glibc 2.36",
        clusters=(
            Cluster(
                name="little", cpus=(0, 1), core="Cortex-A55", capacity=381, min_khz=300_000, max_khz=1_800_000,
                governor="schedutil",
            ),
            Cluster(
                name="big", cpus=tuple(range(2, 2 + big)), core=None, capacity=None, min_khz=None, max_khz=None,
                governor=None,
            ),
        ),
        offline_cpus=rng.choice([(), (7,)]),
        caches=(Cache(level=1, kind="data", size_bytes=32_768, line_bytes=64, cpus=(0,)),),
        memory_bytes=rng.choice([None, 4 * 2**30]),
        thermal=(Sensor(name="cpu-thermal", path="/sys/class/thermal/thermal_zone0/temp"),),
        power=(),
        root=rng.random() < 0.5,
        python=None,
        emulated=None,
        agent_version="0.1.0",
    )  # fmt: skip
    return msgspec.structs.replace(profile, **changes)


def make_artifact(rng: random.Random, name: str = "net", **changes: Any) -> Artifact:
    artifact = Artifact(
        sha256=f"{rng.getrandbits(256):064x}",
        name=name,
        path=f"/models/{name}.tflite",
        size_bytes=rng.randint(1, 10**8),
        flops=rng.choice([None, rng.randint(1, 10**10)]),
        parameters=rng.choice([None, rng.randint(1, 10**7)]),
        architecture=rng.choice([None, "mobilenet_v2:d=2,3"]),
    )
    return msgspec.structs.replace(artifact, **changes)


def make_campaign(rng: random.Random, **changes: Any) -> Campaign:
    campaign = Campaign(
        id=make_id(rng),
        name="first light",
        created_at=START + timedelta(minutes=rng.randint(0, 10_000)),
        versions={"leadline": "0.1.0", "ai-edge-litert": "2.3.0"},
    )
    return msgspec.structs.replace(campaign, **changes)


def make_trial(rng: random.Random, campaign: Campaign, serial: str, artifact: Artifact, **changes: Any) -> Trial:
    config = rng.choice([RunConfig(threads=1), RunConfig(threads=2, cpus=(2, 3), cluster="big", delegate="none")])
    trial = Trial(
        id=make_id(rng),
        campaign_id=campaign.id,
        serial=serial,
        artifact=artifact.sha256,
        model_name=artifact.name,
        config=config,
        protocol=PROTOCOL,
    )
    return msgspec.structs.replace(trial, **changes)


def make_ready(rng: random.Random) -> Ready:
    head = tuple(rng.gauss(0, 1) for _ in range(4))
    tensor = TensorInfo(name="serving_default:0", dtype="float32", shape=(1, 8, 8, 3))
    return Ready(
        runtime="LiteRT 2.3.0",
        load_ns=rng.randint(1, 10**7),
        prepare_ns=rng.randint(1, 10**8),
        first_ns=rng.randint(1, 10**8),
        op_count=rng.choice([None, 65]),
        delegated_ops=rng.choice([None, 65]),
        inputs=(tensor,),
        outputs=(tensor,),
        fingerprints=(Fingerprint(sha256=f"{rng.getrandbits(256):064x}", size=4, mean=0.1, rms=1.0, head=head),),
    )


def make_conditions(rng: random.Random) -> Conditions:
    return Conditions(
        temps_c={"cpu-thermal": 20 + 60 * rng.random(), "battery": 31.5},
        freqs_khz={0: 1_800_000, 4: rng.randint(300_000, 2_800_000)},
        battery_percent=rng.choice([None, 97.5]),
        power_source=rng.choice([None, "usb"]),
        load_1min=rng.choice([None, 0.25]),
        memory_available_bytes=rng.choice([None, 2**30]),
        throttled=rng.choice([None, False, True]),
    )


def make_block(rng: random.Random, *, warmup: bool = False, runs: int = 10) -> Block:
    noise = np.random.default_rng(rng.getrandbits(32))
    wall_ns = (5e6 * np.exp(noise.normal(0, 0.02, runs))).astype(np.int64)
    return Block(
        warmup=warmup,
        wall_ns=wall_ns,
        cpu_ns=wall_ns - noise.integers(0, 10_000, runs),
        switches=noise.integers(0, 3, runs),
        conditions=rng.choice([None, make_conditions(rng)]),
    )


def make_launch(rng: random.Random, index: int = 0, *, blocks: int = 3, **changes: Any) -> Launch:
    launch = Launch(
        index=index,
        ready=make_ready(rng),
        peak_rss_bytes=rng.choice([None, 40_000_000]),
        stop=rng.choice(["precise", "cap"]),
        blocks=(make_block(rng, warmup=True, runs=5), *(make_block(rng) for _ in range(blocks))),
        ops=(OpTime(index=0, name="Convolution (NHWC, F32) IGEMM", delegated=True, median_ns=1234.5, runs=10),),
    )
    return msgspec.structs.replace(launch, **changes)


def make_attempt(
    rng: random.Random,
    trial: Trial,
    outcome: Outcome = "done",
    *,
    launches: int = 2,
    blocks: int = 3,
    **changes: Any,
) -> Attempt:
    started_at = START + timedelta(minutes=rng.randint(10_001, 20_000))
    failed = outcome == "failed"
    attempt = Attempt(
        id=make_id(rng),
        trial_id=trial.id,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=rng.randint(1, 60)),
        outcome=outcome,
        error_kind="DeviceOffline" if failed else None,
        error="pi4: silent for 30 s; try: leadline device probe pi4" if failed else None,
        runner="litert",
        agent_version="0.1.0",
        output_check="unchecked" if failed else "equal",
        warnings=() if failed else ("canary is 4 % slower",),
        launches=() if failed else tuple(make_launch(rng, index, blocks=blocks) for index in range(launches)),
    )
    return msgspec.structs.replace(attempt, **changes)


def make_point(
    *, dtype: str = "float32", level: str = "L1", intensity: float = 1.0, gops: Sequence[float] = (1.0,), **changes: Any
) -> KernelPoint:
    size_bytes = {"L1": 24 * 2**10, "L2": 768 * 2**10, "L3": 12 * 2**20, "DRAM": 128 * 2**20}[level]
    point = KernelPoint(
        dtype=dtype, isa="neon", level=level, working_set_bytes=size_bytes, intensity=intensity, gops=tuple(gops),
        correct=True,
    )  # fmt: skip
    return msgspec.structs.replace(point, **changes)


def make_sweep(
    rng: random.Random,
    serial: str,
    *,
    peak_gops: Mapping[str, float] = MappingProxyType({"float32": 16.0, "int8": 64.0}),
    gbytes: Mapping[str, float] = MappingProxyType({"L1": 64.0, "L2": 32.0, "DRAM": 8.0}),
    **changes: Any,
) -> Sweep:
    """A sweep as an ideal device leaves it, but for a little noise below.

    Args: peak_gops: by type; gbytes: bandwidth in 1e9 bytes/s by level.
    """
    intensities = [2.0**exponent for exponent in range(-4, 7)]
    points = tuple(
        make_point(
            dtype=dtype,
            level=level,
            intensity=intensity,
            gops=[min(peak, intensity * wide) * slower for slower in (rng.uniform(0.98, 1), 1, rng.uniform(0.98, 1))],
        )
        for dtype, peak in peak_gops.items()
        for level, wide in gbytes.items()
        for intensity in intensities
    )
    sweep = Sweep(
        id=make_id(rng),
        serial=serial,
        taken_at=START + timedelta(minutes=rng.randint(0, 10_000)),
        config=RunConfig(threads=1, cpus=(0,), cluster="little"),
        beside=(),
        points=points,
        agent_version="0.1.0",
        emulated=None,
        warnings=(),
    )
    return msgspec.structs.replace(sweep, **changes)


def fill(store: Any, seed: int = 0, *, serials: Sequence[str] = ("pi4", "phone 7"), models: int = 2) -> list[Trial]:
    """A campaign of `models` × `serials` in `store`: most trials done, the last failed, one more only planned; and two
    sweeps of each device."""
    rng = random.Random(seed)
    for serial in serials:
        store.save_profile(make_profile(rng, serial))
    campaign = make_campaign(rng)
    store.save_campaign(campaign)
    artifacts = [make_artifact(rng, f"net {number}") for number in range(models)]
    for artifact in artifacts:
        store.save_artifact(artifact)
    trials = [make_trial(rng, campaign, serial, artifact) for serial in serials for artifact in artifacts]
    waiting = make_trial(rng, campaign, serials[0], artifacts[0])
    store.plan([*trials, waiting])
    for number, trial in enumerate(trials):
        store.start(trial.id)
        if number == 0:
            store.commit(make_attempt(rng, trial, "interrupted", launches=1))
        store.commit(make_attempt(rng, trial, "failed" if trial is trials[-1] else "done"))
    for serial in serials:
        store.save_sweep(make_sweep(rng, serial))
        store.save_sweep(make_sweep(rng, serial, config=RunConfig(threads=3), beside=("big",), warnings=("hot",)))
    return [*trials, waiting]


def same(one: Any, other: Any) -> bool:
    """Equality of records that hold arrays and numbers that are not numbers."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, msgspec.Struct):
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__
        )
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and one != one:
        return isinstance(other, float) and other != other
    return bool(one == other)
