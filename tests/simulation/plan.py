"""What a seed chooses: the chain's shape, the settings, the faults of the node and what happens in which order.

Every seed takes few of the many kinds of faults and happenings, and those often: two that are rare each would
never meet if all of them were possible all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

#: Faults of one call's result that any answer can have, or that only some method's answers can have.
CALL_FAULTS = (
    "provider_error",
    "wrong_type",
    "field_missing",
    "block_null",
    "receipts_null",
    "receipt_missing",
    "receipt_of_another_block",
    "log_twice",
    "log_of_another_fork",
    "log_of_another_address",
    "log_index_of_text",
    "head_goes_back",
    "finalized_missing",
    "finalized_goes_back",
)
#: Of these logs or receipts nobody can tell but by comparing the two, or by the block's hash.
LEAVING_OUT = ("log_missing", "logs_empty")
ALTERING = ("status_flipped", "log_missing_everywhere")
#: Ranges without any log of some block: only where headers are proved and their bloom filters read.
EMPTYING = ("range_without_a_block",)
#: Faults of a whole request.
REQUEST_FAULTS = (
    "slow",
    "hang",
    "reset",
    "cut_short",
    "html",
    "empty_body",
    "too_many_requests",
    "server_error",
    "batch_reversed",
    "batch_refused",
    "batch_without_one",
    "batch_partly_failed",
)
#: Faults by which a node may say that it lacks a method.
SAYING_SO = ("provider_error", "batch_partly_failed")
SOCKET_FAULTS = ("socket_silent", "socket_dropped", "socket_garbage", "socket_null_block")

#: What happens to the chain, and to the rest of the world.
CHAIN_ACTS = ("mine", "mine", "reorg", "reorg", "finalize")
ACTS = (
    "kill_at_request",
    "kill_at_message",
    "stop",
    "freeze",
    "standby",
    "lead_lost",
    "sessions_ended",
    "database_cut",
    "commit_cut",
    "node_away",
    "endpoint_lags",
    "endpoint_stale",
    "range_cap",
    "backfill_once",
    "contract_added",
    "long_absence",
    "claims",
    "claims",
)
#: These take their time, so they are taken less often than the others.
LONG_ACTS = {"freeze": 0.3, "long_absence": 0.3, "lead_lost": 0.5, "standby": 0.5}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says."""

    transactions: Literal["all", "follow", "off"]
    proof: Literal["receipts", "linked"]
    confirmations: int
    below_finality: Literal["halt", "wait", "rollback"]
    parallel: int
    max_range_blocks: int
    poll_seconds: float
    websocket: bool
    #: How far ranges are proved.
    backfill_proof: Literal["linked", "bloom", "receipts"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided before anything starts."""

    seed: int
    settings: Settings
    endpoints: int
    #: Blocks that are there before anything else happens.
    history: int
    transactions_per_block: int
    #: The share of logs that do not fit their event, or are nobody's.
    odd: float
    #: How far finality stays behind the head, and how deep a reorg may be.
    finality_lag: int
    #: Whether the node knows the `finalized` tag.
    knows_finality: bool
    #: How often each kind of fault strikes, as a share of the calls or requests that can have it.
    faults: Mapping[str, float]
    acts: tuple[str, ...]
    #: Whether the node leaves logs out of ranges, which nobody can notice but an audit.
    lies_in_ranges: bool
    #: Whether the chain breaks its finality once, with the policy to roll back.
    breaks_finality: bool
    #: Whether the database has nothing in it at first, not even our schema.
    empty_database: bool
    #: Whether an audit is made at the end.
    audited: bool

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The plan of a seed."""
        random = Random(f"plan {seed}")
        breaks_finality = random.random() < 0.05
        settings = _settings(random, breaks_finality)
        deep = random.random() < 0.15
        lag = random.randrange(66, 72) if deep else random.randrange(3, 14)
        knows_finality = random.random() < 0.8
        kinds = _faults(random, settings)
        return cls(
            seed=seed,
            settings=settings,
            endpoints=random.choice((1, 1, 2, 2, 3)),
            history=lag + random.randrange(4, 50),
            transactions_per_block=random.choice((1, 2, 3)),
            odd=random.choice((0.0, 0.15, 0.5)),
            finality_lag=lag,
            knows_finality=knows_finality,
            faults=kinds,
            acts=_acts(random),
            lies_in_ranges=not breaks_finality
            and settings.backfill_proof == "linked"
            and random.random() < 0.25,
            breaks_finality=breaks_finality,
            empty_database=random.random() < 0.1,
            audited=random.random() < 0.15,
        )


def _settings(random: Random, breaks_finality: bool) -> Settings:
    proof: Literal["receipts", "linked"] = random.choice(("receipts", "receipts", "linked"))
    # What is not proved where blocks are followed cannot be proved in ranges.
    levels: tuple[Literal["linked", "bloom", "receipts"], ...] = ("linked", "linked", "bloom", "receipts")
    return Settings(
        transactions=random.choice(("all", "all", "follow", "off")),
        proof=proof,
        backfill_proof=random.choice(levels if proof == "receipts" else levels[:-1]),
        confirmations=random.randrange(72, 80),
        below_finality="rollback" if breaks_finality else random.choice(("halt", "wait")),
        parallel=random.randrange(1, 5),
        max_range_blocks=random.choice((2, 5, 12, 40, 1000)),
        poll_seconds=random.choice((0.2, 0.5, 1.0)),
        websocket=random.random() < 0.3,
    )


def _faults(random: Random, settings: Settings) -> dict[str, float]:
    """Some kinds of faults that these settings can stand, with how often each strikes."""
    possible = [*CALL_FAULTS, *REQUEST_FAULTS]
    if settings.backfill_proof == "bloom" and settings.proof == "receipts" and random.random() < 0.5:
        # Who is asked for a second opinion must not leave out the same, or nobody could tell.
        rates = {**_rates(random, possible), EMPTYING[0]: 0.3}
        # Nor may the node say that it has no receipts, for then it is believed.
        return {kind: rate for kind, rate in rates.items() if kind not in SAYING_SO}
    if settings.transactions != "off":
        possible += LEAVING_OUT
        if settings.proof == "receipts":
            possible += ALTERING
    if settings.websocket:
        possible += SOCKET_FAULTS
    return _rates(random, possible)


def _rates(random: Random, possible: Sequence[str]) -> dict[str, float]:
    chosen = random.sample(possible, random.choice((0, 2, 4, 6, 8)))
    rates = {kind: random.choice((0.01, 0.03, 0.1)) for kind in chosen}
    # Every answer hangs as long as a request may take: often, and nothing else would happen.
    return {kind: min(rate, 0.01) if kind == "hang" else rate for kind, rate in rates.items()}


def _acts(random: Random) -> tuple[str, ...]:
    possible = [each for each in ACTS if random.random() < LONG_ACTS.get(each, 1.0)]
    some = random.sample(possible, min(len(possible), random.randrange(1, 5)))
    acts = [
        random.choice(some if random.random() < 0.45 else CHAIN_ACTS) for _ in range(random.randrange(4, 13))
    ]
    for once in ("freeze", "long_absence", "contract_added"):
        while acts.count(once) > 1:
            acts.remove(once)
    return tuple(acts)
