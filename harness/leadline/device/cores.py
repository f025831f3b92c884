"""The names of CPU cores.

Arm cores say who made them, and which part they are, in their MIDR register; Linux shows it in /proc/cpuinfo and sysfs.
Source of the numbers: the Technical Reference Manuals of the cores, as collected in the Linux kernel's cputype.h.
"""

from __future__ import annotations

_MAKERS = {
    0x41: "Arm",
    0x42: "Broadcom",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x53: "Samsung",
    0x61: "Apple",
    0xC0: "Ampere",
}

_PARTS = {
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xC05): "Cortex-A5",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0D): "Cortex-A12",
    (0x41, 0xC0E): "Cortex-A17",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD01): "Cortex-A32",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD0E): "Cortex-A76AE",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4C): "Cortex-X1C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD85): "Cortex-X925",
    (0x41, 0xD87): "Cortex-A725",
    (0x41, 0xD8E): "Neoverse-N3",
    (0x46, 0x001): "A64FX",
    (0x48, 0xD40): "Cortex-A76",  # Kirin 980 puts HiSilicon's number on Arm's core
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x001): "Oryon",
    (0x51, 0x06F): "Krait",
    (0x51, 0x201): "Kryo Silver",
    (0x51, 0x205): "Kryo Gold",
    (0x51, 0x211): "Kryo Silver",
    (0x51, 0x800): "Kryo 2xx Gold (Cortex-A73)",
    (0x51, 0x801): "Kryo 2xx Silver (Cortex-A53)",
    (0x51, 0x802): "Kryo 3xx Gold (Cortex-A75)",
    (0x51, 0x803): "Kryo 3xx Silver (Cortex-A55)",
    (0x51, 0x804): "Kryo 4xx Gold (Cortex-A76)",
    (0x51, 0x805): "Kryo 4xx Silver (Cortex-A55)",
    (0x53, 0x001): "Exynos M1",
    (0x53, 0x002): "Exynos M3",
    (0x53, 0x003): "Exynos M4",
    (0x53, 0x004): "Exynos M5",
    (0xC0, 0xAC3): "Ampere-1",
}


def arm_core(implementer: int, part: int) -> str:
    """``(0x41, 0xd08)`` → ``Cortex-A72``; a part that is not in the table keeps its number: ``Arm 0xd99``."""
    maker = _MAKERS.get(implementer, f"implementer {implementer:#04x}")
    return _PARTS.get((implementer, part)) or f"{maker} {part:#05x}"


def split_midr(midr: int) -> tuple[int, int]:
    """MIDR_EL1 → (implementer, part): bits 31–24 and 15–4. Source: Arm Architecture Reference Manual."""
    return midr >> 24 & 0xFF, midr >> 4 & 0xFFF
