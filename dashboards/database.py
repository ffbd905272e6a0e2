"""Database: PostgreSQL as it sees itself, our use of it, backups, and the cache."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import CHAIN, RATE, Board, Choice, Query, Row, graph, number
from dashboards.counting import percentiles

OURS = 'chain=~"$chain"'
#: Templates, and what belongs to no database, say nothing.
NAMED = 'datname=~"$datname", datname!~"template.*|"'


def database(counter: str) -> str:
    """A counter of pg_stat_database a second, by database."""
    return f"sum by (datname) (rate({counter}{{{NAMED}}}[{RATE}]))"


HIT_RATE = (
    f"{database('pg_stat_database_blks_hit')} / "
    f"({database('pg_stat_database_blks_hit')} + {database('pg_stat_database_blks_read')} > 0)"
)

SERVER = (
    number(
        "PostgreSQL",
        "Whether its exporter reaches it.",
        Query("min by (instance) (pg_up)", "{{instance}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "up")),
    ),
    number(
        "Connections in use",
        "Share of what the server allows.",
        Query("sum by (instance) (pg_stat_activity_count) / max by (instance) (pg_settings_max_connections)"),
        unit="percentunit",
        limits=limits.CONNECTIONS,
    ),
    number(
        "Cache hit rate",
        "Pages found in the server's memory.",
        Query(HIT_RATE, "{{datname}}"),
        unit="percentunit",
        start="red",
        limits=limits.DATABASE_HITS,
    ),
    number(
        "Size",
        "On the disk.",
        Query(f"max by (datname) (pg_database_size_bytes{{{NAMED}}})", "{{datname}}"),
        unit="bytes",
        start="blue",
    ),
    number(
        "Deadlocks",
        "In the last hour.",
        Query(f"sum by (datname) (increase(pg_stat_database_deadlocks{{{NAMED}}}[1h]))", "{{datname}}"),
        limits=limits.ANY_IS_ODD,
    ),
    number(
        "Longest transaction",
        "That is open at this moment.",
        Query(f"max by (datname) (pg_stat_activity_max_tx_duration{{{NAMED}}})", "{{datname}}"),
        unit="s",
        limits=limits.TRANSACTION_SECONDS,
    ),
    graph(
        "Connections by state",
        "Against what the server allows.",
        Query("sum by (state) (pg_stat_activity_count)", "{{state}}"),
        Query("max(pg_settings_max_connections)", "allowed"),
    ),
    graph(
        "Transactions",
        "A second.",
        Query(database("pg_stat_database_xact_commit"), "committed {{datname}}"),
        Query(database("pg_stat_database_xact_rollback"), "rolled back {{datname}}"),
        unit="cps",
    ),
    graph(
        "Cache hit rate",
        "Pages found in the server's memory.",
        Query(HIT_RATE, "{{datname}}"),
        unit="percentunit",
        most=1,
    ),
    graph(
        "Rows",
        "A second.",
        Query(database("pg_stat_database_tup_inserted"), "inserted {{datname}}"),
        Query(database("pg_stat_database_tup_deleted"), "deleted {{datname}}"),
        Query(database("pg_stat_database_tup_fetched"), "fetched {{datname}}"),
        unit="cps",
    ),
    graph(
        "Size",
        "On the disk.",
        Query(f"max by (datname) (pg_database_size_bytes{{{NAMED}}})", "{{datname}}"),
        unit="bytes",
    ),
    graph(
        "Locks and deadlocks",
        "Locks held, by mode, and deadlocks a second.",
        Query(f"sum by (mode) (pg_locks_count{{{NAMED}}})", "{{mode}}"),
        Query(database("pg_stat_database_deadlocks"), "deadlocks {{datname}}"),
    ),
)

OUR_USE = (
    graph(
        "The indexer's pool",
        "PoolExhausted: as many open as there may be, and none idle, for 2 minutes.",
        Query(f"sum(indexer_database_pool_connections{{{OURS}}})", "open"),
        Query(f"sum(indexer_database_pool_idle_connections{{{OURS}}})", "idle"),
        Query(f"sum(indexer_database_pool_max_connections{{{OURS}}})", "allowed"),
    ),
    graph(
        "Time of a commit",
        "One writing transaction of the indexer, from its beginning.",
        *percentiles(f"indexer_commit_duration_seconds_bucket{{{OURS}}}"),
        unit="s",
        exemplars=True,
    ),
    graph(
        "Commits",
        "Of the indexer, a second.",
        Query(f"sum by (chain) (rate(indexer_commit_duration_seconds_count{{{OURS}}}[{RATE}]))", "{{chain}}"),
        unit="cps",
    ),
    number(
        "Writable",
        "As the indexer sees it.",
        Query(f"min by (chain) (indexer_database_up{{{OURS}}})", "{{chain}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "writable")),
    ),
    number(
        "The index",
        "Its size on the disk.",
        Query(f"max by (chain) (indexer_database_size_bytes{{{OURS}}})", "{{chain}}"),
        unit="bytes",
        start="blue",
    ),
)

BACKUPS = (
    number(
        "Age of the last backup",
        "BackupTooOld: 26 hours. A dash: none is known.",
        Query(
            f"time() - (max by (chain) (indexer_backup_last_success_timestamp_seconds{{{OURS}}}) > 0)",
            "{{chain}}",
        ),
        unit="s",
        limits=limits.BACKUP_AGE,
        width=6,
    ),
    number(
        "Since one was verified",
        "Restored, to see that it can be. BackupNotVerified: 8 days. A dash: none was.",
        Query(
            f"time() - (max by (chain) (indexer_backup_verified_timestamp_seconds{{{OURS}}}) > 0)",
            "{{chain}}",
        ),
        unit="s",
        limits=limits.VERIFIED_AGE,
        width=6,
    ),
    number(
        "Its size",
        "BackupSizeAnomaly compares it with those before.",
        Query(f"max by (chain) (indexer_backup_size_bytes{{{OURS}}})", "{{chain}}"),
        unit="bytes",
        start="blue",
        width=6,
    ),
    number(
        "It took",
        "From its beginning until it was there.",
        Query(f"max by (chain) (indexer_backup_duration_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        start="blue",
        width=6,
    ),
)

CACHE = (
    graph(
        "Cache hit rate",
        "Keys that Redis had, of those it was asked for.",
        Query(
            f"sum by (instance) (rate(redis_keyspace_hits_total[{RATE}])) / "
            f"(sum by (instance) (rate(redis_keyspace_hits_total[{RATE}])) "
            f"+ sum by (instance) (rate(redis_keyspace_misses_total[{RATE}])) > 0)",
            "{{instance}}",
        ),
        unit="percentunit",
        most=1,
        width=6,
    ),
    graph(
        "Cache memory",
        "In use, and what it may use (0: no bound).",
        Query("redis_memory_used_bytes", "used {{instance}}"),
        Query("redis_memory_max_bytes", "allowed {{instance}}"),
        unit="bytes",
        width=6,
    ),
    graph(
        "Cache keys",
        "By database; empty ones are left out.",
        Query("sum by (db) (redis_db_keys) > 0", "{{db}}"),
        width=6,
    ),
    graph(
        "Cache commands and clients",
        "Commands a second, and connected clients.",
        Query(f"sum(rate(redis_commands_processed_total[{RATE}]))", "commands a second"),
        Query("sum(redis_connected_clients)", "clients"),
        width=6,
    ),
)

DATABASE = Board(
    uid="indexer-database",
    file="database.json",
    title="Database",
    question="Is PostgreSQL well, how does the indexer use it, are there backups, and is the cache well?",
    variables=(CHAIN, Choice("datname", "Database", "pg_database_size_bytes")),
    rows=(
        Row("PostgreSQL", SERVER),
        Row("The indexer's use of it", OUR_USE),
        Row("Backups", BACKUPS),
        Row("Cache (Redis)", CACHE),
    ),
)
