"""Fuzzes the decoder: any event, logs broken in any way; eth-abi is asked what is right."""

from __future__ import annotations

from random import Random

from indexer.core.abi import MOST_TOPICS, EventSpec, Param, event_spec
from indexer.core.abireading import AMPLIFICATION, AMPLIFICATION_FLOOR
from indexer.core.abitype import (
    AbiType,
    Address,
    Array,
    Bool,
    Bytes,
    Component,
    FixedBytes,
    FunctionPointer,
    Int,
    String,
    Tuple,
    Uint,
)
from indexer.core.batch import Decoder
from indexer.core.codec import EventCodec
from indexer.core.logs import check_range_logs
from indexer.core.malformed import REASONS, Malformed
from indexer.core.model import Span
from indexer.core.source import filter_of
from tests.fixtures.wirelogs import TOKEN, sources_of, wire_log
from tests.fuzz.choices import Choices
from tests.property.random_abi import log_of, random_value
from tests.property.second_opinion import broken, check_agreement, eth_abi_reads, head_is_miscounted
from tests.property.test_batch import encoded_from, rows_of

NAME = "decoder"

EVENTS = 256
HONEST_LOGS = 6  # per event
LOGS_TOGETHER = 40
NAMES = ("a", "b", "", "a", "tokenId", "block_number", "x" * 70)
#: Numbers that lengths and offsets are likely or unlikely to be.
NUMBERS = (
    *range(0, 32 * 24, 32),
    *range(1, 20),
    2**31,
    2**63,
    2**64 - 1,
    2**255,
    2**256 - 1,
    2**256 - 32,
)
#: What a byte of the log may at most become: hex doubles it, and names of components come on top.
EXPANSION = 12

#: Reasons of which eth-abi knows nothing.
BEYOND_ETH_ABI = {"topic_count", "topic_size", "topic0", "amplified", "too_large"}

Log = tuple[list[bytes], bytes]


class Known:
    """An event with its codec and a few honest logs."""

    def __init__(self, random: Random) -> None:
        self.event = random_event(random)
        self.codec = EventCodec(self.event)
        in_data = [param.type for param in self.event.params if not param.indexed]
        self.miscounted = head_is_miscounted(in_data)
        types = [param.type for param in self.event.params]
        self.logs = [
            log_of(self.event, [random_value(each, random) for each in types]) for _ in range(HONEST_LOGS)
        ]


def random_event(random: Random) -> EventSpec:
    """An event of one to four arguments, anonymous or not."""
    anonymous = random.random() < 0.2
    spare = MOST_TOPICS - (not anonymous)
    params = []
    for _ in range(random.randrange(1, 5)):
        indexed = spare > 0 and random.random() < 0.3
        spare -= indexed
        params.append(Param(random.choice(NAMES), _random_type(random, 3), indexed))
    return event_spec("Fuzzed", tuple(params), anonymous)


def _random_type(random: Random, depth: int) -> AbiType:
    bits = random.choice((8, 48, 56, 64, 72, 248, 256))
    simple: tuple[AbiType, ...] = (
        *(Uint(bits), Int(bits), Address(), Bool(), FixedBytes(random.randrange(1, 33))),
        *(FunctionPointer(), String(), String(), Bytes()),
    )
    if depth == 0 or random.random() < 0.5:
        return random.choice(simple)
    if random.random() < 0.6:
        return Array(_random_type(random, depth - 1), random.choice((None, None, 1, 2, 3)))
    count = random.randrange(1, 4)
    return Tuple(
        tuple(Component(random.choice(NAMES), _random_type(random, depth - 1)) for _ in range(count))
    )


class Target:
    """Reads one log, or several at once."""

    def __init__(self) -> None:
        random = Random("the events")
        self._known = [Known(random) for _ in range(EVENTS)]

    def __call__(self, octets: bytes) -> str:
        choices = Choices(octets)
        known = choices.pick(self._known)
        if choices.below(24) == 23:
            return self._together(known, choices)
        topics, data = self._log(known, choices)
        return self._alone(known, topics, data)

    def _log(self, known: Known, choices: Choices) -> Log:
        topics, data = choices.pick(known.logs)
        match choices.below(6):
            case 0 | 1:
                return broken(known.event, topics, data, Random(choices.number(4)))
            case 2 | 3:
                words = [choices.pick(NUMBERS).to_bytes(32, "big") for _ in range(choices.below(28))]
                return topics, b"".join(words) * choices.pick((1, 1, 1, 1, 2, 12))
            case 4:
                for _ in range(choices.below(4)):
                    at, piece = choices.below(len(data) + 1), choices.octets(choices.below(40))
                    data = data[:at] + piece + data[at + len(piece) :]
                return topics, data
        return topics[: choices.below(5)], choices.rest()

    def _alone(self, known: Known, topics: list[bytes], data: bytes) -> str:
        codec = known.codec
        try:
            fields, lossy = codec.columns(topics, data)
        except Malformed as malformed:
            refusal = malformed
        else:
            most = EXPANSION * (AMPLIFICATION * len(data) + AMPLIFICATION_FLOOR)
            assert len(fields) <= most, f"{len(data)} bytes became {len(fields)}"
            answer = eth_abi_reads(known.event, topics, data)
            assert answer is not None, "eth-abi refuses it"
            check_agreement(codec, topics, data, *answer)
            return "accepted with loss" if lossy else "accepted"
        assert refusal.reason in REASONS
        assert _refused_as(codec, topics, data) == {refusal.reason}
        if refusal.reason not in BEYOND_ETH_ABI:
            excused = refusal.reason == "offset_out_of_range" and known.miscounted
            assert excused or eth_abi_reads(known.event, topics, data) is None
        return refusal.reason

    def _together(self, known: Known, choices: Choices) -> str:
        """Logs of one event in a range: rows made at once are those made one by one, and none is lost."""
        sources = sources_of("Fuzzed", TOKEN, known.event)
        wires = []
        for index in range(choices.below(LOGS_TOGETHER)):
            topics, data = self._log(known, choices)
            topics = [topic for topic in topics if len(topic) == 32][:MOST_TOPICS]
            if known.event.topic0 is not None and topics[:1] != [known.event.topic0]:
                continue
            wires.append(wire_log(1, index, transaction=index, topics=topics, data=data))
        logs = check_range_logs(Span(1, 1), filter_of(sources), wires)
        decoder = Decoder(sources)
        at_once, one_by_one = encoded_from(1, decoder, logs), encoded_from(10**9, decoder, logs)
        assert rows_of(at_once) == rows_of(one_by_one)
        assert at_once.undecoded == one_by_one.undecoded
        lost = [each for each in at_once.undecoded if each.reason != "lossy_text"]
        anonymous = [each for each in wires if len(each.topics) != known.event.topic_count]
        expected = len(wires) - (len(anonymous) if known.event.anonymous else 0)
        assert at_once.rows + len(lost) == expected
        return "together"


def _refused_as(codec: EventCodec, topics: list[bytes], data: bytes) -> set[str]:
    """The reasons for which the codec's other functions refuse a log; empty for one that they take."""
    found = set()
    for function in (codec.decode, codec.args):
        try:
            function(topics, data)
        except Malformed as refusal:
            found.add(refusal.reason)
        else:
            found.add("accepted")
    return found
