"""The commands that prove what is stored, and put it right: audit, digest, reorgs, redecode."""

from __future__ import annotations

import argparse

from indexer.arguments import (
    add_command,
    add_contracts,
    add_json,
    block_number,
    count,
    secret_of,
    settings_of,
)
from indexer.core.errors import UserMistake
from indexer.core.redaction import Redactor

#: The variable (or, with _FILE behind it, the file) with the URL of the other database.
COMPARE_VARIABLE = "COMPARE_DATABASE_URL"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands and their options."""
    _add_audit(commands)
    _add_digest(commands)

    reorgs = add_command(commands, "reorgs", "what the chain took back, newest first", reorgs_command)
    reorgs.description = "Every reorg with its depth, fork, heads, and how many rows it removed and added."
    reorgs.add_argument("--limit", type=count, metavar="N", help="at most so many (default: all)")
    reorgs.add_argument("--events", action="store_true", help="show the removed events, too")
    add_json(reorgs)

    redecode = add_command(commands, "redecode", "undecoded logs again, without the node", redecode_command)
    redecode.description = (
        "Read the logs in indexer.undecoded_log with the ABIs that are configured now. Those that fit become "
        "rows of their event's table. Asks no node; refuses while another process writes."
    )
    add_contracts(redecode)
    add_json(redecode)


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = add_command(commands, "audit", "compare what is stored with the chain", audit_command)
    audit.description = (
        "Read the chain again for covered, final blocks and compare every row. "
        "Exit code 0: no difference, 1: differences (repaired ones included), 2: it could not be told."
    )
    audit.add_argument(
        "--from-block", type=block_number, required=True, metavar="A", help="first block, inclusive"
    )
    audit.add_argument(
        "--to-block", type=block_number, metavar="B", help="last block, inclusive (default: the finalized)"
    )
    add_contracts(audit)
    audit.add_argument(
        "--against",
        default="rpc",
        metavar="rpc|receipts|ENDPOINT",
        help="logs by ranges, another endpoint first (rpc, the default); the receipts of every block, which "
        "also shows transactions; or logs by ranges from the endpoint of this name",
    )
    audit.add_argument(
        "--sample", type=count, metavar="N", help="only N random ranges (or blocks, against receipts)"
    )
    audit.add_argument("--seed", type=int, metavar="S", help="repeat the sample of that seed")
    audit.add_argument(
        "--repair", action="store_true", help="replace what differs by what the chain says, and journal it"
    )
    add_json(audit)


def _add_digest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    digest = add_command(commands, "digest", "counts and hashes of the rows, to compare", digest_command)
    digest.description = (
        "Rows and an order-independent hash for each source and 1,000 blocks, of covered and final blocks. "
        "With --compare exit code 0: equal, 1: different, 2: it could not be told for all blocks."
    )
    digest.add_argument(
        "--from-block", type=block_number, default=0, metavar="A", help="first block, inclusive (default: 0)"
    )
    digest.add_argument(
        "--to-block", type=block_number, metavar="B", help="last block, inclusive (default: the finalized)"
    )
    digest.add_argument(
        "--compare",
        nargs="?",
        const="",
        metavar="DATABASE_URL",
        help=f"another database to compare with (default: ${COMPARE_VARIABLE}, which no list of processes shows)",
    )
    add_json(digest)


async def audit_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Compare what is stored with the chain."""
    from indexer import audit

    wanted = audit.Wanted(
        first=options.from_block,
        last=options.to_block,
        contracts=frozenset(options.contract) if options.contract else None,
        against=options.against,
        sample=options.sample,
        seed=options.seed,
        repair=options.repair,
    )
    return await audit.audit(settings_of(options, redact), redact, wanted, as_json=options.json)


async def digest_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Show the digests, or compare them with another database's."""
    from indexer import digest

    settings = settings_of(options, redact)
    other: str | None = None
    if options.compare is not None:
        redact.add(options.compare)
        other = options.compare or secret_of(COMPARE_VARIABLE, redact)
        if other is None:
            raise UserMistake(
                f"--compare: with which database? Give its URL, or set {COMPARE_VARIABLE} "
                f"or {COMPARE_VARIABLE}_FILE"
            )
    return await digest.show(
        settings, redact, options.from_block, options.to_block, other, as_json=options.json
    )


async def reorgs_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Show the journal of reorgs."""
    from indexer import reorgs

    return await reorgs.show(
        settings_of(options, redact), redact, options.limit, events=options.events, as_json=options.json
    )


async def redecode_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Read undecoded logs again."""
    from indexer import redecode

    contracts = frozenset(options.contract) if options.contract else None
    return await redecode.redecode(settings_of(options, redact), redact, contracts, as_json=options.json)
