"""What the files of known devices mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.device.probe import PROBE_PATHS, Told, interpret, parse_getprop
from leadline.device.texts import Files
from leadline.records.device import Cache, Profile
from leadline.rpc.agent import Hello

PROBES = Path(__file__).parents[2] / "data" / "probes"
ALL = sorted(path.stem for path in PROBES.glob("*.json"))


def recorded(name: str) -> dict[str, Any]:
    return dict(json.loads((PROBES / f"{name}.json").read_text()))


def profile_of(name: str, *, hello: dict[str, Any] | None = None, files: Files | None = None) -> Profile:
    """The profile of a recorded device, with some of its facts replaced."""
    device = recorded(name)
    return interpret(
        device["files"] | (files or {}),
        msgspec.convert(device["hello"] | (hello or {}), Hello),
        serial="S",
        told=msgspec.convert(device["told"], Told),
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def clusters_of(profile: Profile) -> list[tuple[str, tuple[int, ...], str | None]]:
    return [(cluster.name, cluster.cpus, cluster.core) for cluster in profile.clusters]


def test_a_pixel_6_has_three_clusters_by_rising_capacity() -> None:
    profile = profile_of("pixel6")
    assert clusters_of(profile) == [
        ("little", (0, 1, 2, 3), "Cortex-A55"),
        ("mid", (4, 5), "Cortex-A76"),
        ("big", (6, 7), "Cortex-X1"),
    ]
    assert [c.max_khz for c in profile.clusters] == [1_803_000, 2_253_000, 2_802_000]
    assert profile.clusters[2].governor == "sched_pixel"
    assert (profile.model, profile.soc, profile.os, profile.os_kind) == (
        "Google Pixel 6",
        "GS101",
        "Android 14",
        "android",
    )
    assert profile.libc == "bionic"
    assert profile.emulated is None
    assert not profile.root


def test_thermal_zones_that_give_nonsense_are_left_out() -> None:
    names = [sensor.name for sensor in profile_of("pixel6").thermal]
    assert names == ["BIG", "MID", "LITTLE", "battery", "quiet_therm"]


def test_a_raspberry_pi_4_is_one_cluster_with_its_caches() -> None:
    profile = profile_of("raspberry_pi_4")
    assert clusters_of(profile) == [("all", (0, 1, 2, 3), "Cortex-A72")]
    assert (profile.model, profile.soc) == ("Raspberry Pi 4 Model B Rev 1.4", "BCM2711")
    assert (profile.libc, profile.python) == ("glibc 2.36", "3.11.2")
    assert profile.os == "Debian GNU/Linux 12 (bookworm)"
    assert profile.memory_bytes == 3884324 * 1024
    assert profile.caches[-1] == Cache(level=2, kind="unified", size_bytes=2**20, line_bytes=64, cpus=(0, 1, 2, 3))
    assert len(profile.caches) == 4 + 4 + 1


def test_a_camera_that_tells_hardly_anything_has_unknowns_and_no_inventions() -> None:
    profile = profile_of("mips_camera")
    assert clusters_of(profile) == [("all", (0,), "Ingenic XBurst V0.0 FPU V0.0")]
    assert (profile.model, profile.soc, profile.os) == ("ISVP", "Ingenic T31", "Linux")
    assert profile.features == ("mxu1.1",)
    assert (profile.libc, profile.python, profile.clusters[0].max_khz, profile.emulated) == (None, None, None, None)
    assert profile.thermal == profile.power == profile.caches == ()


def test_a_virtual_machine_on_the_real_cpu_is_not_emulated() -> None:
    profile = profile_of("x86_virtual_machine")
    assert clusters_of(profile) == [("all", (0, 1), "AMD EPYC")]
    assert profile.emulated is None
    assert "avx2" in profile.features
    assert profile.root


def test_offline_cpus_are_named_and_left_out_of_the_clusters() -> None:
    profile = profile_of("offline_cpus")
    assert profile.offline_cpus == (4, 5, 6, 7)
    assert clusters_of(profile) == [("all", (0, 1, 2, 3), "Cortex-A53")]


def test_only_cpus_that_we_may_use_count_and_the_clusters_keep_their_names() -> None:
    profile = profile_of("pixel6", hello={"cpus": [5, 6, 7]})
    assert clusters_of(profile) == [("mid", (5,), "Cortex-A76"), ("big", (6, 7), "Cortex-X1")]
    assert profile.cpus == (5, 6, 7)


def test_four_clusters_are_little_mid1_mid2_big() -> None:
    cpu = "/sys/devices/system/cpu"
    files = {f"{cpu}/cpufreq/policy6/related_cpus": "6\n", f"{cpu}/cpufreq/policy7/related_cpus": "7\n"}
    files |= {f"{cpu}/cpufreq/policy7/cpuinfo_max_freq": "3000000\n"}
    names = [(c.name, c.cpus) for c in profile_of("pixel6", files=files).clusters]
    assert names == [("little", (0, 1, 2, 3)), ("mid1", (4, 5)), ("mid2", (6,)), ("big", (7,))]


def test_cpus_without_cpufreq_are_grouped_by_capacity_and_core() -> None:
    device = recorded("pixel6")
    kept = {path: text for path, text in device["files"].items() if "/cpufreq/" not in path}
    profile = interpret(
        kept, msgspec.convert(device["hello"], Hello), serial="S", told=Told(), taken_at=datetime.now(UTC)
    )
    assert [(c.name, c.cpus, c.max_khz) for c in profile.clusters] == [
        ("little", (0, 1, 2, 3), None),
        ("mid", (4, 5), None),
        ("big", (6, 7), None),
    ]


def test_old_kernels_with_cpufreq_below_each_cpu_are_understood() -> None:
    folder = "/sys/devices/system/cpu/cpu{}/cpufreq"
    files = {folder.format(cpu) + "/related_cpus": "0 1 2 3" for cpu in range(4)}
    files |= {folder.format(cpu) + "/cpuinfo_max_freq": "1500000" for cpu in range(4)}
    device = recorded("raspberry_pi_4")
    kept = {path: text for path, text in device["files"].items() if "/policy" not in path} | files
    profile = interpret(
        kept, msgspec.convert(device["hello"], Hello), serial="S", told=Told(), taken_at=datetime.now(UTC)
    )
    assert [(c.cpus, c.max_khz) for c in profile.clusters] == [((0, 1, 2, 3), 1_500_000)]


def test_x86_cpus_with_a_policy_each_are_one_cluster_and_hybrids_two() -> None:
    cpu = "/sys/devices/system/cpu"
    files = {f"{cpu}/cpufreq/policy{n}/related_cpus": f"{n}" for n in (0, 1)}
    files |= {f"{cpu}/cpufreq/policy{n}/cpuinfo_max_freq": f"{5_600_000 + 200_000 * n}" for n in (0, 1)}
    assert [(c.name, c.cpus, c.max_khz) for c in profile_of("x86_virtual_machine", files=files).clusters] == [
        ("all", (0, 1), 5_800_000)
    ]
    files |= {"/sys/devices/cpu_core/cpus": "1", "/sys/devices/cpu_atom/cpus": "0"}
    files |= {f"{cpu}/cpu0/cpu_capacity": "600"}
    hybrid = profile_of("x86_virtual_machine", files=files)
    assert [(c.name, c.cpus) for c in hybrid.clusters] == [("little", (0,)), ("big", (1,))]


@pytest.mark.parametrize(
    ("name", "hello", "files"),
    [
        ("raspberry_pi_4", {}, {"/proc/device-tree/compatible": "linux,dummy-virt\0"}),
        ("raspberry_pi_4", {}, {"/proc/device-tree/fw-cfg@9020000/compatible": "qemu,fw-cfg-mmio\0"}),
        ("raspberry_pi_4", {}, {"/proc/sys/kernel/arch": "x86_64\n"}),
        ("x86_virtual_machine", {"abi": "aarch64"}, {}),
        ("mips_camera", {}, {"/proc/cpuinfo": "system type\t: MIPS Malta\nprocessor\t: 0\n"}),
        (
            "x86_virtual_machine",
            {},
            {
                "/sys/class/dmi/id/sys_vendor": "QEMU\n",
                "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
            },
        ),
    ],
)
def test_signs_of_emulation_are_told(name: str, hello: dict[str, Any], files: Files) -> None:
    assert profile_of(name).emulated is None
    assert profile_of(name, hello=hello, files=files).emulated is not None


def test_a_cloud_machine_with_a_virtual_device_tree_is_not_emulated() -> None:
    neoverse = {f"/sys/devices/system/cpu/cpu{n}/regs/identification/midr_el1": "0x00000000413fd0c1" for n in range(4)}
    files = neoverse | {"/proc/device-tree/compatible": "linux,dummy-virt\0"}
    profile = profile_of("raspberry_pi_4", files=files)
    assert (profile.clusters[0].core, profile.emulated) == ("Neoverse-N1", None)


def test_an_unknown_core_keeps_its_number() -> None:
    files = {f"/sys/devices/system/cpu/cpu{n}/regs/identification/midr_el1": "0x410fdff0" for n in range(4)}
    assert profile_of("raspberry_pi_4", files=files).clusters[0].core == "Arm 0xdff"


def test_control_characters_and_endless_texts_of_a_device_do_not_reach_the_profile() -> None:
    profile = profile_of(
        "raspberry_pi_4", files={"/proc/device-tree/model": "\x1b[31mPi\n\u202e" + "x" * 10_000 + "\0junk"}
    )
    assert profile.model is not None
    assert profile.model.isprintable()
    assert len(profile.model) <= 200


@pytest.mark.parametrize(
    "garbage",
    ["", "\0", "-274000", "99999999999999999999", "nan", "0-4294967295", "0-", ",,,", "☃", "0x" + "f" * 40, "9" * 5000],
)
@pytest.mark.parametrize("name", ALL)
def test_garbage_in_every_file_still_gives_a_profile(name: str, garbage: str) -> None:
    device = recorded(name)
    profile = profile_of(name, files=dict.fromkeys(device["files"], garbage))
    assert profile.cpus == tuple(device["hello"]["cpus"])
    assert all(cluster.max_khz is None and cluster.capacity is None for cluster in profile.clusters)
    assert profile.thermal == ()
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_text_in_any_one_file_breaks_the_probe(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ALL))
    path = data.draw(st.sampled_from(sorted(recorded(name)["files"])))
    text = data.draw(st.text(max_size=80) | st.from_regex(r"[0-9, -]{0,12}\n?") | st.from_regex(r"-?[0-9]{1,30}[KM]?"))
    profile = profile_of(name, files={path: text})
    assert profile.clusters
    assert set(profile.cpus) <= set(recorded(name)["hello"]["cpus"])


def test_no_file_at_all_leaves_the_cpus_that_the_agent_counted() -> None:
    hello = msgspec.convert(recorded("pixel6")["hello"], Hello)
    profile = interpret({}, hello, serial="S", told=Told(), taken_at=datetime.now(UTC))
    assert clusters_of(profile) == [("all", tuple(range(8)), None)]
    assert (profile.model, profile.soc, profile.kernel, profile.memory_bytes) == (None, None, None, None)


@pytest.mark.parametrize(
    ("said", "libc"),
    [
        ("glibc 2.36\n", "glibc 2.36"),
        ("ldd (Debian GLIBC 2.31-13+deb11u11) 2.31\nCopyright", "glibc 2.31"),
        ("musl libc (x86_64)\nVersion 1.2.3\n", "musl 1.2.3"),
        ("sh: getconf: not found\n", None),
    ],
)
def test_the_c_library_is_told_by_getconf_or_ldd(said: str, libc: str | None) -> None:
    hello = msgspec.convert(recorded("raspberry_pi_4")["hello"], Hello)
    profile = interpret({}, hello, serial="S", told=Told(libc=said), taken_at=datetime.now(UTC))
    assert profile.libc == libc


def test_getprop_lines_become_properties_and_empty_ones_do_not() -> None:
    assert parse_getprop("[a.b]: [c d]\r\n[empty]: []\nnonsense\n[x]: [y]z]\n") == {"a.b": "c d", "x": "y]z"}


def test_every_recorded_file_is_one_that_probing_asks_for() -> None:
    for name in ALL:
        for path in recorded(name)["files"]:
            assert any(fnmatchcase(path, pattern) for pattern in PROBE_PATHS), path
