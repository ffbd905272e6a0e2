"""Read `indexer.toml` and the environment into settings, or say everything that is wrong with them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from indexer.core.errors import UserMistake
from indexer.settings.environment import Environment
from indexer.settings.model import (
    AlertSettings,
    BackfillSettings,
    ChainSettings,
    DatabaseSettings,
    HealthSettings,
    HttpSettings,
    JournalSettings,
    LogsSettings,
    Settings,
    TimeoutSettings,
)
from indexer.settings.sentry import read_sentry
from indexer.settings.toml_contracts import read_contracts
from indexer.settings.toml_endpoints import endpoints_of_environment, read_endpoints
from indexer.settings.toml_table import Mistakes, TomlTable, cut
from indexer.settings.urls import (
    DATABASE_SCHEMES,
    parse_listen,
    parse_target,
    problem_with,
    problem_with_token,
)

#: Looked for in the working directory when no file is named.
DEFAULT_FILE = "indexer.toml"


def load_settings(
    environment: Mapping[str, str], config: Path | None = None, directory: Path | None = None
) -> Settings:
    """The settings: the file's, with the environment's over them.

    Args:
        environment: the process's variables; nothing else of the program reads them.
        config: the file to read, before `INDEXER_CONFIG`, before `indexer.toml` in the directory.
        directory: where to look for `indexer.toml`; the working directory unless given.

    Raises:
        UserMistake: names every mistake with its place and its remedy, and shows no secret.
    """
    mistakes = Mistakes()
    variables = Environment(environment, mistakes)
    path = _config_path(variables, config, directory or Path())
    root = TomlTable(_parse(path), "", mistakes, root=path.name)
    settings = _read(root, variables, path)
    root.done()
    variables.report_misspelled()
    if mistakes:
        raise UserMistake(str(mistakes))
    return settings


def _config_path(variables: Environment, config: Path | None, directory: Path) -> Path:
    named = variables.text("INDEXER_CONFIG")
    path = config or (Path(named) if named else None)
    if path is None:
        path = directory / DEFAULT_FILE
        if not path.is_file():
            raise UserMistake(
                f"there is no {DEFAULT_FILE} here, and it is needed to know which contracts to index: "
                "write one (docs/configuration.md has an example), or name it with --config or INDEXER_CONFIG"
            )
    return path


def _parse(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserMistake(
            f"the configuration {path} cannot be read: {error.strerror}; "
            "--config or INDEXER_CONFIG must name a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise UserMistake(
            f"{path.name}: byte {error.start} is not UTF-8; save the file in that encoding"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"{path.name}: not valid TOML: {cut(str(error))}") from error
    except ValueError as error:
        raise UserMistake(f"{path.name}: it holds a number with thousands of digits") from error
    except RecursionError as error:
        raise UserMistake(f"{path.name}: its lists and tables are nested too deeply") from error


def _read(root: TomlTable, variables: Environment, path: Path) -> Settings:
    chain = _chain(root.table("chain"), variables)
    return Settings(
        chain=chain,
        contracts=read_contracts(root, path.parent),
        database=_database(root.table("database"), variables),
        http=_http(root.table("http"), variables),
        health=_health(root.table("health")),
        backfill=_backfill(root.table("backfill"), chain),
        timeouts=_timeouts(root.table("timeouts")),
        journal=_journal(root.table("journal"), variables),
        alerts=_alerts(root.table("alerts"), variables),
        sentry=read_sentry(variables),
        logs=_logs(root.table("logs"), variables),
        path=path,
    )


def _chain(table: TomlTable, variables: Environment) -> ChainSettings:
    default = ChainSettings(id=None, name=None, rpc=())
    from_environment = variables.secret("RPC_URL")
    from_file = read_endpoints(table)
    if from_environment is not None:
        rpc = endpoints_of_environment(from_environment, table.mistakes)
    else:
        rpc = from_file
        if not table.has("rpc"):
            table.wrong("rpc", 'no node is named; add rpc = ["http://127.0.0.1:8545"], or set RPC_URL')
    settings = ChainSettings(
        id=table.optional_integer("id", 1),
        name=_chain_name(table),
        rpc=rpc,
        confirmations=table.integer("confirmations", default.confirmations, 0, 1_000_000),
        poll_seconds=table.seconds("poll_seconds", default.poll_seconds, 0.01),
        transactions=table.choice("transactions", default.transactions, ("all", "follow", "off")),
        max_reorg_depth=table.integer("max_reorg_depth", default.max_reorg_depth, 1, 1_000_000),
        below_finality=table.choice("below_finality", default.below_finality, ("halt", "wait", "rollback")),
        proof=table.choice("proof", default.proof, ("receipts", "linked")),
        logs_bloom=table.boolean("logs_bloom", default.logs_bloom),
    )
    table.done()
    return settings


def _chain_name(table: TomlTable) -> str | None:
    name = table.text("name")
    if name is not None and (len(name) > 64 or not name.isprintable()):
        table.wrong("name", "must be at most 64 printable characters; it becomes a label of every metric")
        return None
    return name


def _database(table: TomlTable, variables: Environment) -> DatabaseSettings:
    default = DatabaseSettings()
    from_environment = variables.secret("DATABASE_URL")
    url = table.secret("url")
    place = table.place("url")
    if from_environment is not None:
        url, place = from_environment, "environment: DATABASE_URL"
    if url is not None and (problem := problem_with(url, DATABASE_SCHEMES, host_needed=False)):
        table.mistakes.add(place, f"{problem}; it should look like postgresql://user:password@host:5432/name")
    settings = DatabaseSettings(url, table.integer("connections", default.connections, 3, 1_000))
    table.done()
    return settings


def _http(table: TomlTable, variables: Environment) -> HttpSettings:
    default = HttpSettings()
    from_environment = variables.text("INDEXER_HTTP")
    listen = table.text("listen")
    place = table.place("listen")
    if from_environment is not None:
        listen, place = from_environment, "environment: INDEXER_HTTP"
    table.done()
    if listen is None:
        return default
    parsed = parse_listen(listen)
    if parsed is None:
        table.mistakes.add(place, f"must be host:port such as 127.0.0.1:9464, not {listen[:60]!r}")
        return default
    return HttpSettings(*parsed)


def _health(table: TomlTable) -> HealthSettings:
    default = HealthSettings()
    settings = HealthSettings(
        stalled_seconds=table.seconds("stalled_seconds", default.stalled_seconds),
        silent_chain_seconds=table.seconds("silent_chain_seconds", default.silent_chain_seconds),
        backfill_stalled_seconds=table.seconds("backfill_stalled_seconds", default.backfill_stalled_seconds),
        probe_seconds=table.seconds("probe_seconds", default.probe_seconds),
    )
    table.done()
    return settings


def _backfill(table: TomlTable, chain: ChainSettings) -> BackfillSettings:
    default = BackfillSettings()
    settings = BackfillSettings(
        parallel=table.integer("parallel", default.parallel, 1, 256),
        max_range_blocks=table.integer("max_range_blocks", default.max_range_blocks, 1, 10_000_000),
        proof=table.choice("proof", default.proof, ("linked", "bloom", "receipts")),
    )
    if settings.proof == "receipts" and chain.proof == "linked":
        table.wrong("proof", 'cannot be "receipts" where chain.proof is "linked": use "bloom" or "linked"')
    if settings.proof == "bloom" and not chain.logs_bloom:
        table.wrong("proof", 'cannot be "bloom" where chain.logs_bloom is false: use "receipts" or "linked"')
    table.done()
    return settings


def _timeouts(table: TomlTable) -> TimeoutSettings:
    default = TimeoutSettings()
    settings = TimeoutSettings(
        connect_seconds=table.seconds("connect_seconds", default.connect_seconds),
        request_seconds=table.seconds("request_seconds", default.request_seconds),
        retry_total_seconds=table.seconds("retry_total_seconds", default.retry_total_seconds),
        websocket_stall_seconds=table.seconds("websocket_stall_seconds", default.websocket_stall_seconds),
        statement_seconds=table.seconds("statement_seconds", default.statement_seconds),
    )
    table.done()
    return settings


def _alerts(table: TomlTable, variables: Environment) -> AlertSettings:
    default = AlertSettings()
    token, token_place = table.secret("token"), table.place("token")
    if (given := variables.secret("ALERT_WEBHOOK_TOKEN")) is not None:
        token, token_place = given, "environment: ALERT_WEBHOOK_TOKEN"
    if token is not None and (problem := problem_with_token(token)):
        table.mistakes.add(token_place, f"{problem}; `openssl rand -hex 32` makes a good one")
    url, url_place = table.secret("alertmanager_url"), table.place("alertmanager_url")
    if (given := variables.secret("ALERTMANAGER_URL")) is not None:
        url, url_place = given, "environment: ALERTMANAGER_URL"
    if url is not None and (problem := problem_with(url, ("http", "https"), host_needed=True)):
        table.mistakes.add(url_place, f"{problem}; it should look like http://alertmanager:9093")
    table.done()
    return AlertSettings(token, (url or default.alertmanager_url).rstrip("/"))


def _journal(table: TomlTable, variables: Environment) -> JournalSettings:
    default = JournalSettings()
    chosen = table.choice("format", default.format, ("auto", "json", "text"))
    from_environment = variables.text("INDEXER_JOURNAL")
    if from_environment is not None:
        over = TomlTable(
            {"INDEXER_JOURNAL": from_environment.lower()}, "", table.mistakes, root="environment"
        )
        chosen = over.choice("INDEXER_JOURNAL", default.format, ("auto", "json", "text"))
    level = table.choice("level", default.level, ("debug", "info", "warning", "error"))
    table.done()
    return JournalSettings(chosen, level)


def _logs(table: TomlTable, variables: Environment) -> LogsSettings:
    default = LogsSettings()
    from_environment = variables.text("LOGSTASH_ADDRESS")
    address = table.text("logstash")
    place = table.place("logstash")
    if from_environment is not None:
        address, place = from_environment, "environment: LOGSTASH_ADDRESS"
    logstash = None if address is None else parse_target(address)
    if address is not None and logstash is None:
        table.mistakes.add(place, "must be host:port such as logstash:5000")
    slow = table.seconds("slow_query_seconds", default.slow_query_seconds)
    table.done()
    return LogsSettings(logstash, slow)
