"""The MobileNet-V2 space of MonoNAS: what is in it, and how a point of it is written."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.search.model.counts import network_counts
from leadline.search.space.mobilenet_v2 import (
    EXPANSIONS,
    KERNELS,
    MOBILENET_V2_WIDTHS,
    SPACE,
    STAGE_DEPTHS,
    Architecture,
    Choice,
    MobileNetV2,
)
from leadline.search.space.registry import find_space

TABLE = {block.name: block for block in SPACE.block_table()}

choices = st.builds(Choice, st.sampled_from(KERNELS), st.sampled_from(EXPANSIONS))
stages = [st.lists(choices, min_size=min(depths), max_size=max(depths)).map(tuple) for depths in STAGE_DEPTHS]
architectures = st.tuples(*stages).map(Architecture)


def uniform(kernel: int, expansion: int, depths: tuple[int, ...] = (4, 4, 4, 4, 4, 1)) -> Architecture:
    return Architecture(tuple((Choice(kernel, expansion),) * depth for depth in depths))


def test_the_widths_are_those_of_once_for_all_at_1_3() -> None:
    assert SPACE.widths == (40, 24, 32, 56, 104, 128, 248, 416, 1664)


def test_there_are_21_slots() -> None:
    assert sum(max(depths) for depths in STAGE_DEPTHS) == 21


def test_the_block_table_has_every_different_block_once() -> None:
    names = [block.name for block in SPACE.block_table()]
    assert len(names) == len(set(names)) == 103
    stages_one_to_five = [n for n in names if n.startswith("block") and "-416-" not in n and "e1s" not in n]
    assert len(stages_one_to_five) == 5 * 2 * 9  # the first block of a stage and the others, 9 choices each
    assert len([n for n in names if "-416-" in n and n.startswith("block")]) == 9  # the 21st slot


@given(architectures)
def test_the_block_table_covers_every_network(architecture: Architecture) -> None:
    for block in SPACE.blocks(architecture):
        assert TABLE[block.name] == block


@given(architectures)
def test_an_encoding_reads_back_and_says_everything(architecture: Architecture) -> None:
    text = SPACE.encode(architecture)
    assert text.isascii()
    assert text.isprintable()
    assert SPACE.decode(text) == architecture
    assert SPACE.network(architecture).architecture == text


def test_an_encoding_can_be_read_by_people() -> None:
    assert SPACE.encode(uniform(3, 6, (2, 2, 2, 2, 2, 1))) == (
        "mobilenet_v2:k3e6,k3e6/k3e6,k3e6/k3e6,k3e6/k3e6,k3e6/k3e6,k3e6/k3e6"
    )


GOOD = "k3e6,k3e6"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "does not start with mobilenet_v2:"),
        ("mobilenet_v3:k3e6", "does not start with mobilenet_v2:"),
        (f"mobilenet_v2:{GOOD}", "has 1 stages, but the space has 6"),
        (f"mobilenet_v2:{GOOD}/{GOOD}/k3e6/{GOOD}/{GOOD}/k3e6", "stage 3: depth 1 is not one of 2, 3, 4"),
        (f"mobilenet_v2:{GOOD}/{GOOD}/{GOOD}/{GOOD}/{GOOD}/{GOOD}", "stage 6: depth 2 is not one of 1"),
        (
            f"mobilenet_v2:{GOOD}/k3e6,k9e6/{GOOD}/{GOOD}/{GOOD}/k3e6",
            "stage 2, block 2: kernel 9 is not one of 3, 5, 7",
        ),
        (f"mobilenet_v2:{GOOD}/{GOOD}/{GOOD}/{GOOD}/{GOOD}/k3e5", "stage 6, block 1: expansion 5 is not one of 3, 4"),
        (f"mobilenet_v2:{GOOD}/{GOOD}/{GOOD}/k3,k3e6/{GOOD}/k3e6", "stage 4, block 1: 'k3' is not written like k3e6"),
        ("mobilenet_v2:k³e6", "stage 1, block 1: 'k³e6' is not written like"),
        ("mobilenet_v2:k3e6\x1b[2J", r"'k3e6\x1b[2J' is not written like"),
    ],
)
def test_what_is_not_in_the_space_is_refused_by_slot(text: str, fault: str) -> None:
    with pytest.raises(BadInput) as caught:
        SPACE.decode(text)
    assert fault in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"mobilenet_v2:{text}"):
        with pytest.raises(BadInput):
            SPACE.decode(candidate)


def test_an_architecture_that_does_not_fit_cannot_be_encoded_or_built() -> None:
    wrong = uniform(9, 6)
    for use in (SPACE.encode, SPACE.blocks, SPACE.network):
        with pytest.raises(BadInput, match="stage 1, block 1: kernel 9"):
            use(wrong)


def test_sampling_follows_the_generator_alone() -> None:
    def draw(seed: int) -> list[Architecture]:
        rng = np.random.default_rng(seed)
        return [SPACE.sample(rng) for _ in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_sampling_reaches_every_choice_of_every_slot_about_equally() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(900)]
    for stage, depths in enumerate(STAGE_DEPTHS):
        for depth in depths:
            share = np.mean([len(a.stages[stage]) == depth for a in drawn])
            assert share == pytest.approx(1 / len(depths), abs=0.07)
        for slot in range(max(depths)):
            filled = [a.stages[stage][slot] for a in drawn if len(a.stages[stage]) > slot]
            assert {(c.kernel, c.expansion) for c in filled} == {(k, e) for k in KERNELS for e in EXPANSIONS}


@pytest.mark.parametrize(
    ("multiplier", "mega_macs", "mega_parameters"), [(1.0, 300, 3.47), (1.3, 509, 5.34), (1.4, 582, 6.06)]
)
def test_the_original_mobilenet_v2_has_its_published_size(
    multiplier: float, mega_macs: int, mega_parameters: float
) -> None:
    """Source: github.com/tensorflow/models, research/slim/nets/mobilenet/README.md, 224×224."""
    space = MobileNetV2(base_widths=MOBILENET_V2_WIDTHS, width_multiplier=multiplier)
    counts = network_counts(space.network(uniform(3, 6, (2, 3, 4, 3, 3, 1))))
    assert counts.flops is not None
    assert counts.flops / 2e6 == pytest.approx(mega_macs, abs=1)
    assert counts.parameters / 1e6 == pytest.approx(mega_parameters, rel=0.006)  # ours count folded biases


def test_the_smallest_and_largest_networks_bound_all_others() -> None:
    smallest, largest = (network_counts(SPACE.network(a)) for a in (uniform(3, 3, (2, 2, 2, 2, 2, 1)), uniform(7, 6)))
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = network_counts(SPACE.network(SPACE.sample(rng)))
        for field in ("flops", "parameters", "bytes_moved"):
            assert getattr(smallest, field) < getattr(counts, field) < getattr(largest, field)


def test_the_blocks_add_up_to_the_network() -> None:
    architecture = SPACE.sample(np.random.default_rng(5))
    network = SPACE.network(architecture)
    blocks = SPACE.blocks(architecture)
    assert network.shapes()[-1] == (1, 1000)
    assert network_counts(network).flops == sum(network_counts(block).flops or 0 for block in blocks)
    assert [layer.op for layer in network.layers] == [layer.op for block in blocks for layer in block.layers]


def test_a_network_travels_as_json() -> None:
    network = SPACE.network(uniform(5, 4))
    assert msgspec.json.decode(msgspec.json.encode(network), type=type(network)) == network


def test_an_unknown_space_is_refused_with_those_there_are() -> None:
    assert find_space("mobilenet_v2") is SPACE
    with pytest.raises(BadInput, match="there are: mobilenet_v2"):
        find_space("resnet50")
