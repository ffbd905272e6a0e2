"""What a bloom filter can prove, on filters of real blocks."""

from __future__ import annotations

import pytest

from indexer.core.bloom import BloomProbe, Pair, logs_bloom, may_contain
from tests.fixtures.recorded_blocks import BLOCKS, recorded_block, recorded_header
from tests.fixtures.wirelogs import digest


def octets(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def logs_of(name: str) -> list[tuple[bytes, list[bytes]]]:
    return [
        (octets(log["address"]), [octets(topic) for topic in log["topics"]])
        for receipt in recorded_block(name).receipts
        for log in receipt["logs"]
    ]


@pytest.mark.parametrize("name", BLOCKS)
def test_the_filter_over_a_blocks_logs_is_the_one_in_its_header(name: str) -> None:
    assert logs_bloom(logs_of(name)) == octets(recorded_block(name).block["logsBloom"])


@pytest.mark.parametrize("name", ["mainnet_0x1ac9f3", "osaka_0x1"])
def test_every_log_that_is_there_is_found(name: str) -> None:
    bloom = octets(recorded_block(name).block["logsBloom"])
    there: list[Pair] = [(address, topics[0]) for address, topics in logs_of(name)]
    there += [(address, None) for address, _ in logs_of(name)]
    assert all(may_contain(bloom, *pair) for pair in there)
    probe = BloomProbe(there)
    assert probe.may_match(bloom)
    assert set(probe.matching(bloom)) == set(there)


def test_a_pair_is_found_only_where_address_and_topic_may_both_be() -> None:
    here, elsewhere, topic, other = digest("a")[:20], digest("b")[:20], digest("c"), digest("d")
    bloom = logs_bloom([(here, [topic])])
    pairs: list[Pair] = [(here, topic), (here, None), (elsewhere, topic), (here, other), (elsewhere, None)]
    assert BloomProbe(pairs).matching(bloom) == ((here, topic), (here, None))
    assert [may_contain(bloom, *pair) for pair in pairs] == [True, True, False, False, False]
    assert not BloomProbe(pairs[2:]).may_match(bloom)


def test_nothing_is_found_in_an_empty_filter_or_by_an_empty_probe() -> None:
    assert not BloomProbe([(digest("a")[:20], None)]).may_match(bytes(256))
    assert not BloomProbe([]).may_match(b"\xff" * 256)
    assert BloomProbe([]).matching(b"\xff" * 256) == ()


def test_everything_may_be_in_a_full_filter() -> None:
    pairs: list[Pair] = [(digest("address", at)[:20], digest("topic", at % 3)) for at in range(100)]
    assert BloomProbe(pairs).matching(b"\xff" * 256) == tuple(pairs)


def test_a_busy_block_lets_few_strangers_through() -> None:
    # Two thirds of the bits of this block of mainnet are set: of pairs that are not in it, two items with three
    # bits each, about one in eleven passes.
    bloom = octets(recorded_header("osaka")["logsBloom"])
    pairs: list[Pair] = [(digest("address", at)[:20], digest("topic", at)) for at in range(2000)]
    passed = BloomProbe(pairs).matching(bloom)
    assert 0.05 < len(passed) / len(pairs) < 0.15
    assert set(passed) == {pair for pair in pairs if may_contain(bloom, *pair)}


def test_a_filter_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes, this one 255"):
        BloomProbe([]).may_match(bytes(255))
