"""What roofline plots show, in the terminal and as charts."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.records.trial import RunConfig
from leadline.roofline.chart import render, save_chart
from leadline.roofline.figure import Dot, Figure, Line, comparison_figure, device_figure
from leadline.roofline.fit import fit
from leadline.roofline.labels import Scale, place_labels
from leadline.roofline.placement import Workload, place
from leadline.roofline.specification import known
from leadline.roofline.terminal import draw
from tests.unit.roofline.sweeps import kernel, sweep_of

ROOFLINE = fit(sweep_of())
EMULATED = fit(sweep_of(emulated="runs in qemu-system-mipsel"))
NETWORKS = [
    place(Workload(name=name, flops=flops, bytes_moved=4e7, latency_ns=5e7), ROOFLINE.of())
    for name, flops in (("mobilenet", 6e8), ("depthwise 7×7", 8e7))
]


def test_a_device_is_shown_with_a_roof_a_level_its_kernels_and_its_networks() -> None:
    figure = device_figure("pi4", ROOFLINE, placements=NETWORKS)
    assert figure.title == "pi4 · float32"
    assert "1 thread on cluster all (CPUs 0) · neon" in figure.subtitle
    assert [line.name for line in figure.lines] == ["L1", "L2", "DRAM"]
    assert sum(dot.kind == "kernel" for dot in figure.dots) == 33
    assert [dot.name for dot in figure.dots if dot.kind == "network"] == ["mobilenet", "depthwise 7×7"]
    assert figure.warning is None


def test_data_sheets_are_shown_beside_float32_only() -> None:
    figure = device_figure("pi4", ROOFLINE, specifications=[known("samsung-s5e")])
    assert [line.name for line in figure.lines if line.theoretical] == ["Samsung Galaxy Tab S5e (data sheet)"]
    int8 = fit(sweep_of(points=(kernel(dtype="int8", isa="dotprod"),)))
    figure = device_figure("pi4", int8, dtype="int8", specifications=[known("samsung-s5e")])
    assert not any(line.theoretical for line in figure.lines)
    assert figure.unit == "op"


def test_devices_are_compared_by_the_roofs_of_their_slowest_memory() -> None:
    fast = fit(sweep_of(peak_gops=200.0, gbytes={"L1": 300.0, "DRAM": 40.0}))
    figure = comparison_figure([("pi4", ROOFLINE), ("lab", fast)])
    assert [(line.name, round(line.gbytes)) for line in figure.lines] == [("lab DRAM", 40), ("pi4 DRAM", 5)]


def test_devices_to_compare_have_different_names() -> None:
    with pytest.raises(BadInput, match="names that tell several apart"):
        comparison_figure([("pi4", ROOFLINE), ("pi4", ROOFLINE)])
    with pytest.raises(BadInput, match="one sweep at least"):
        comparison_figure([])


def test_the_clusters_that_were_busy_meanwhile_are_named() -> None:
    figure = device_figure("phone", fit(sweep_of(beside=("little", "mid"))))
    assert "beside little, mid" in figure.subtitle


def test_a_run_without_cpus_or_cluster_is_described_by_its_threads() -> None:
    figure = device_figure("phone", fit(sweep_of(config=RunConfig(threads=4))))
    assert figure.subtitle.startswith("4 threads · neon")


def test_the_terminal_plot_is_the_same_every_time() -> None:
    roofline = fit(sweep_of(gbytes={"L1": 80.0, "DRAM": 5.0}))
    assert draw(device_figure("pi4", roofline, placements=NETWORKS), columns=60, rows=12) == PLOT


PLOT = """\
pi4 · float32
1 thread on cluster all (CPUs 0) · neon · 2026-11-22 08:30
GFLOP/s
   100 ┤
    50 ┤                1·───·───·───·────·───·───·───·────
    20 ┤            ·111             ·222
       │         111              222        A
    10 ┤     111·             222·
     5 ┤  11·              22·
     2 ┤11             22·2
       │           2·22          B
     1 ┤        ·22
   0.5 ┤    2222
   0.2 ┤ 222·
   0.1 ┤2
       └────┴───────┴────────┴───────┴────────┴───────┴────
            1/16    1/4      1       4        16      64
                                                   FLOP/byte
  1 L1: 80 GB/s up to 48 GFLOP/s, ridge at 0.6 FLOP/byte
  2 DRAM: 5 GB/s up to 48 GFLOP/s, ridge at 9.6 FLOP/byte
  A mobilenet: 12 GFLOP/s at 15 FLOP/byte, 50 ms, 25% of the
      DRAM roof, bound by computation
  B depthwise 7×7: 1.6 GFLOP/s at 2 FLOP/byte, 50 ms, 16% of
      the DRAM roof, bound by memory
"""


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_terminal_plot_is_never_wider_than_asked(columns: int) -> None:
    figure = device_figure("pi4 " * 30, EMULATED, placements=NETWORKS, specifications=[known("samsung-s5e")])
    assert max(len(line) for line in draw(figure, columns=columns).splitlines()) <= columns


def test_the_terminal_plot_explains_its_marks() -> None:
    text = draw(device_figure("pi4", ROOFLINE, placements=NETWORKS), columns=100)
    assert "1 L1: 80 GB/s up to 48 GFLOP/s, ridge at 0.6 FLOP/byte" in text
    assert "3 DRAM: 5 GB/s up to 48 GFLOP/s, ridge at 9.6 FLOP/byte" in text
    assert "A mobilenet: 12 GFLOP/s at 15 FLOP/byte, 50 ms, 25% of the DRAM roof, bound by computation" in text
    assert "B depthwise 7×7: 1.6 GFLOP/s at 2 FLOP/byte" in text


def test_the_terminal_plot_of_an_emulated_device_says_that_it_means_nothing() -> None:
    text = draw(device_figure("cam", EMULATED))
    assert "!! cam: latency is meaningless here (runs in qemu-system-mipsel)" in text


def test_the_terminal_plot_leaves_nothing_out_however_many_there_are() -> None:
    text = draw(comparison_figure([(f"board-{i}", ROOFLINE) for i in range(12)]))
    assert all(f" board-{i} DRAM: 5 GB/s" in text for i in range(12))


def test_names_cannot_act_on_the_terminal() -> None:
    workload = Workload(name="\x1b[2Jnet", flops=1e8, bytes_moved=1e7, latency_ns=1e8)
    figure = device_figure("\x1b[31mpi", ROOFLINE, placements=[place(workload, ROOFLINE.of())])
    assert "\x1b" not in draw(figure)


@given(
    peak=st.floats(1e-3, 1e5),
    gbytes=st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=12),
    dots=st.lists(st.tuples(st.floats(1e-4, 1e5), st.floats(1e-5, 1e6)), max_size=60),
)
def test_anything_positive_can_be_drawn_and_no_name_covers_another(
    peak: float, gbytes: list[float], dots: list[tuple[float, float]]
) -> None:
    figure = Figure(
        title="t",
        subtitle="s",
        warning="emulated",
        unit="FLOP",
        lines=tuple(Line(name=f"roof {i}", gbytes=wide, peak_gops=peak) for i, wide in enumerate(gbytes)),
        dots=tuple(Dot(name=f"net {i}", intensity=x, gops=y, kind="network", line="") for i, (x, y) in enumerate(dots)),
    )
    assert draw(figure).count("net ") == len(dots)
    scale = Scale(width=760, height=460, intensities=figure.intensities, performances=figure.performances)
    for dot in figure.dots:
        assert 0 <= scale.x(dot.intensity) <= 760
        assert 0 <= scale.y(dot.gops) <= 460
    labels = place_labels(figure, scale)
    assert labels[0].text == "emulated: latency is meaningless here"
    level = [label for label in labels if label.angle == 0.0]
    for i, one in enumerate(level):
        for other in level[i + 1 :]:
            assert abs(one.y - other.y) >= 12 or abs(one.x - other.x) > 5


def test_an_svg_chart_says_what_it_shows() -> None:
    figure = device_figure("pi4", ROOFLINE, placements=NETWORKS, specifications=[known("samsung-s5e")])
    text = "".join(ElementTree.fromstring(render(figure, "svg")).itertext())
    for said in (
        "pi4 · float32",
        "Operational intensity (FLOP/byte)",
        "Performance (GFLOP/s)",
        "L1  80 GB/s",
        "DRAM  5 GB/s",
        "48 GFLOP/s",
        "Samsung Galaxy Tab S5e (data sheet)",
        "mobilenet",
        "1/16",
    ):
        assert said in text


def test_a_chart_of_an_emulated_device_says_that_it_means_nothing() -> None:
    text = render(device_figure("cam", EMULATED), "svg").decode()
    assert "emulated: latency is meaningless here" in text
    assert "runs in qemu-system-mipsel" in text


def test_a_page_holds_all_that_it_needs(tmp_path: Path) -> None:
    save_chart(device_figure("pi4", ROOFLINE), tmp_path / "roof.html")
    page = (tmp_path / "roof.html").read_text()
    assert "<script src" not in page
    assert "<link" not in page
    assert "vegaEmbed" in page
    assert len(page) > 300_000  # Vega itself is in it


def test_a_png_is_written_where_asked(tmp_path: Path) -> None:
    save_chart(comparison_figure([("pi4", ROOFLINE)]), tmp_path / "a name with $(spaces).PNG")
    [found] = tmp_path.iterdir()
    assert found.read_bytes().startswith(b"\x89PNG\r\n")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"roof\.pdf: cannot draw .* end the name in \.svg, \.png or \.html"):
        save_chart(device_figure("pi4", ROOFLINE), tmp_path / "roof.pdf")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"No such file or directory; choose another place"):
        save_chart(device_figure("pi4", ROOFLINE), tmp_path / "none" / "roof.svg")


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_without_the_report_extra_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BadInput, match=r"not (installed|found).*pip install 'leadline\[report\]'"):
        render(device_figure("pi4", ROOFLINE), "svg")


def test_a_figure_travels_as_plain_data() -> None:
    figure = device_figure("pi4", ROOFLINE)
    assert msgspec.json.decode(msgspec.json.encode(figure), type=Figure) == figure
