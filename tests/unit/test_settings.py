"""The settings: what is read from where, and what is said about mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indexer.core.errors import UserMistake
from indexer.settings import Settings, load_settings

ADDRESS = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
OTHER_ADDRESS = "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"
LEAST = f"""
[chain]
rpc = "http://127.0.0.1:8545"

[[contracts]]
name = "SkillProfile"
address = "{ADDRESS}"
abi = "SkillProfile.json"
"""


def load(directory: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    (directory / "SkillProfile.json").write_text("[]")
    path = directory / "indexer.toml"
    path.write_text(text)
    return load_settings(environment or {}, path)


def mistakes(directory: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(UserMistake) as caught:
        load(directory, text, environment)
    return str(caught.value)


def test_the_example_in_the_documentation_is_valid_and_names_every_key(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    example = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "abis").mkdir()
    (tmp_path / "abis" / "SkillProfile.json").write_text("[]")
    settings = load(tmp_path, example)
    assert settings.chain.rpc[1].name == "spare"
    assert settings.chain.rpc[1].requests_per_second == 25.0
    assert settings.contracts[0].events == ("ProfileCreated",)
    # A mistake lists the keys that are known at its place: the example must show each of them.
    tables = (
        "chain",
        "database",
        "http",
        "health",
        "backfill",
        "timeouts",
        "journal",
        "alerts",
        "logs",
        "[contracts]",
    )
    for table in tables:
        text = mistakes(tmp_path, example.replace(f"[{table}]", f"[{table}]\nqqqqqqqq = 1"))
        known = re.findall(r"known are ([a-z_, ]+)", text)[0].split(", ")
        shown = example.split(f"[{table}]", 1)[1].split("\n[", 1)[0]
        assert [key for key in known if not re.search(rf"^{key} =", shown, re.MULTILINE)] == []


def test_the_defaults_of_the_documentation_are_those_of_the_program(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    example = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "abis").mkdir()
    (tmp_path / "abis" / "SkillProfile.json").write_text("[]")
    shown, bare = load(tmp_path, example), load(tmp_path, LEAST)
    assert (shown.http, shown.health, shown.backfill) == (bare.http, bare.health, bare.backfill)
    assert (shown.timeouts, shown.journal) == (bare.timeouts, bare.journal)
    assert shown.logs.slow_query_seconds == bare.logs.slow_query_seconds
    for key in ("confirmations", "poll_seconds", "transactions", "max_reorg_depth", "below_finality"):
        assert getattr(shown.chain, key) == getattr(bare.chain, key)
    assert shown.database.connections == bare.database.connections
    assert shown.alerts.alertmanager_url == bare.alerts.alertmanager_url


def test_the_least_configuration_leaves_the_rest_to_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, LEAST)
    assert settings.chain.id is None
    assert settings.chain.label is None
    assert [(each.name, each.url, each.gzip) for each in settings.chain.rpc] == [
        ("rpc-1", "http://127.0.0.1:8545", False)
    ]
    assert settings.database.url is None
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9464)
    contract = settings.contracts[0]
    assert contract.addresses == (bytes.fromhex(ADDRESS[2:]),)
    assert contract.abi == tmp_path / "SkillProfile.json"
    assert (contract.start_block, contract.events) == (0, None)


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    environment = {
        "RPC_URL": "https://one.example/v2/k, wss://two.example",
        "DATABASE_URL": "postgresql://u:p@db/x",
        "INDEXER_HTTP": "[::1]:0",
        "INDEXER_JOURNAL": "JSON",
        "LOGSTASH_ADDRESS": "logs.example:5000",
    }
    settings = load(tmp_path, LEAST + '[database]\nurl = "postgresql://file/x"', environment)
    assert [(each.name, each.gzip) for each in settings.chain.rpc] == [("rpc-1", True), ("rpc-2", True)]
    assert settings.database.url == "postgresql://u:p@db/x"
    assert (settings.http.host, settings.http.port) == ("::1", 0)
    assert settings.journal.format == "json"
    assert settings.logs.logstash == ("logs.example", 5000)


def test_empty_variables_count_as_not_set(tmp_path: Path) -> None:
    settings = load(tmp_path, LEAST, {"RPC_URL": "", "DATABASE_URL_FILE": " ", "INDEXER_HTTP": ""})
    assert settings.chain.rpc[0].url == "http://127.0.0.1:8545"


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "rpc").write_text("http://node:8545\n")
    settings = load(tmp_path, LEAST, {"RPC_URL_FILE": str(tmp_path / "rpc")})
    assert settings.chain.rpc[0].url == "http://node:8545"
    both = mistakes(tmp_path, LEAST, {"RPC_URL": "http://a:1", "RPC_URL_FILE": str(tmp_path / "rpc")})
    assert "RPC_URL_FILE too" in both
    assert "cannot be read: No such file" in mistakes(tmp_path, LEAST, {"DATABASE_URL_FILE": "/not/there"})


def test_the_file_is_found_by_option_then_variable_then_working_directory(tmp_path: Path) -> None:
    load(tmp_path, LEAST)
    here = load_settings({}, None, tmp_path)
    named = load_settings({"INDEXER_CONFIG": str(tmp_path / "indexer.toml")}, None, Path("/"))
    assert here == named
    with pytest.raises(UserMistake, match=r"no indexer\.toml here.*--config or INDEXER_CONFIG"):
        load_settings({"RPC_URL": "http://127.0.0.1:8545"}, None, tmp_path / "elsewhere")
    with pytest.raises(UserMistake, match="cannot be read: No such file"):
        load_settings({"INDEXER_CONFIG": str(tmp_path / "indexer.toml")}, tmp_path / "missing.toml")


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    text = mistakes(
        tmp_path,
        f"""
        [chain]
        rpc = ["htp://x", {{ url = "http://a:1", nam = "b" }}, 7]
        pol_seconds = 2
        confirmations = -1
        transactions = "folow"
        [http]
        listen = "9464"
        [[contracts]]
        name = "A"
        address = ["{ADDRESS}", "0x12"]
        abi = "SkillProfile.json"
        [[contracts]]
        name = "a"
        address = "{ADDRESS}"
        abi = "missing.json"
        start_block = true
        [[contracts]]
        name = "a"
        address = "{ADDRESS}"
        abi = "SkillProfile.json"
        [contrakts]
        """,
        {"INDEXER_HTPP": "127.0.0.1:1"},
    )
    for expected in (
        "16 mistakes in the configuration:",
        "indexer.toml: chain.rpc[1]: must begin with http://, https://, ws://, wss://",
        "indexer.toml: chain.rpc[2].nam: is not a known setting; did you mean name?",
        "indexer.toml: chain.rpc[3]: must be a URL or a table with an url, not a number",
        "indexer.toml: chain.pol_seconds: is not a known setting; did you mean poll_seconds?",
        "indexer.toml: chain.confirmations: must be a whole number from 0 to 1000000, not -1",
        """chain.transactions: must be "all", "follow" or "off", not 'folow'; did you mean follow?""",
        "indexer.toml: http.listen: must be host:port such as 127.0.0.1:9464, not '9464'",
        "indexer.toml: contracts[1].address: not an address: '0x12'",
        "indexer.toml: contracts[2].abi: there is no file missing.json",
        "indexer.toml: contracts[2].start_block: must be a whole number from 0, not true",
        "indexer.toml: contracts[3].name: 'a' is another contract's name already",
        "indexer.toml: contrakts: is not a known setting; did you mean contracts?",
        "environment: INDEXER_HTPP: is not a known variable; did you mean INDEXER_HTTP?",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[chain]", "[chain]\nid = 0"), "chain.id: must be a whole number from 1, not 0"),
        (('rpc = "http://127.0.0.1:8545"', ""), "chain.rpc: no node is named"),
        (('"http://127.0.0.1:8545"', "[]"), "chain.rpc: is an empty list"),
        (('"http://127.0.0.1:8545"', '{name = "x"}'), "chain.rpc[1].url: is missing"),
        (('name = "SkillProfile"', ""), "contracts[1].name: is missing"),
        ((f'address = "{ADDRESS}"', ""), "contracts[1].address: is missing"),
        (('abi = "SkillProfile.json"', ""), "contracts[1].abi: is missing"),
        ((f'"{ADDRESS}"', f'["{ADDRESS}", "{ADDRESS}"]'), "twice"),
        (("[[contracts]]", "[contracts]"), "contracts: must be tables, each written [[contracts]]"),
        (("[chain]", "chain = 1\n[other]"), "chain: must be a table, written [chain], not a number"),
        (("[chain]", "[chain"), "not valid TOML"),
        (
            ("[chain]", '[chain]\nbelow_finality = "pray"'),
            'chain.below_finality: must be "halt", "wait" or "rollback"',
        ),
        (("[chain]", '[logs]\nlogstash = ":5000"\n[chain]'), "logs.logstash: must be host:port"),
        (("[chain]", '[logs]\nlogstash = "me:x@host"\n[chain]'), "logs.logstash: must be host:port"),
        (("[chain]", "[chain]\npoll_seconds = nan"), "chain.poll_seconds: must be a number from 0.01"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert expected in mistakes(tmp_path, LEAST.replace(*change))


def test_two_endpoints_or_contracts_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = """[{url = "http://a:1", name = "rpc-2"}, "http://b:1"]"""
    assert "'rpc-2' is another endpoint's name" in mistakes(
        tmp_path, LEAST.replace('"http://127.0.0.1:8545"', twice)
    )
    second = LEAST.split("[[contracts]]")[1]
    same_address = LEAST + "[[contracts]]" + second.replace("SkillProfile", "Other", 1)
    assert "belongs to 'SkillProfile' already" in mistakes(tmp_path, same_address)
    fine = LEAST + "[[contracts]]" + second.replace("SkillProfile", "O", 1).replace(ADDRESS, OTHER_ADDRESS)
    assert [each.name for each in load(tmp_path, fine).contracts] == ["SkillProfile", "O"]


SECRET = "sk-live-0123456789abcdef"


@pytest.mark.parametrize(
    "environment",
    [
        {"RPC_URL": f"htps://node.example/{SECRET}"},
        {"RPC_URL": f"https://node.example:{SECRET}/"},
        {"RPC_URL": f"https://u:{SECRET} x@node.example/"},
        {"RPC_URL": f"http://[{SECRET}"},
        {"RPC_URL": SECRET},
        {"RPC_URL": f"https://?{SECRET}"},
        {"DATABASE_URL": f"mysql://u:{SECRET}@h/x"},
        {"DATABASE_URL": f"postgresql://u:{SECRET}/@h/x"},
        {"DATABASE_URL_FILE": f"postgresql://u:{SECRET}@h/x"},
        {"RPC_URL": f"http://a:1,{SECRET}"},
    ],
)
def test_no_mistake_shows_a_secret(tmp_path: Path, environment: dict[str, str]) -> None:
    assert SECRET not in mistakes(tmp_path, LEAST, environment)


def test_no_mistake_in_the_file_shows_a_secret(tmp_path: Path) -> None:
    for value in (f'"htp://{SECRET}"', f'{{url = "{SECRET}"}}', f'{{url = ["{SECRET}"]}}', f'[["{SECRET}"]]'):
        assert SECRET not in mistakes(tmp_path, LEAST.replace('"http://127.0.0.1:8545"', value))
    named = f'{{url = "http://a:1", name = "http://a/{SECRET}"}}'
    assert SECRET not in mistakes(tmp_path, LEAST.replace('"http://127.0.0.1:8545"', named))


def test_printed_settings_show_no_secret(tmp_path: Path) -> None:
    environment = {
        "RPC_URL": f"https://x/{SECRET}",
        "DATABASE_URL": f"postgresql://u:{SECRET}@h:5432,i:5432/x",
    }
    settings = load(tmp_path, LEAST, environment)
    assert SECRET not in repr(settings)
    assert settings.secrets() == tuple(environment.values())


def test_the_token_of_alerts_comes_from_the_file_the_environment_or_a_secret_file_and_is_shown_nowhere(
    tmp_path: Path,
) -> None:
    assert load(tmp_path, LEAST).alerts.token is None
    text = LEAST + '[alerts]\ntoken = "a-token-in-the-file"\nalertmanager_url = "http://am:9093/"\n'
    settings = load(tmp_path, text)
    assert (settings.alerts.token, settings.alerts.alertmanager_url) == (
        "a-token-in-the-file",
        "http://am:9093",
    )
    settings = load(tmp_path, text, {"ALERT_WEBHOOK_TOKEN": "a-token-in-the-environment"})
    assert settings.alerts.token == "a-token-in-the-environment"
    (tmp_path / "secret").write_text("a-token-in-a-secret-file\n")
    settings = load(tmp_path, text, {"ALERT_WEBHOOK_TOKEN_FILE": str(tmp_path / "secret")})
    assert settings.alerts.token == "a-token-in-a-secret-file"
    assert settings.alerts.token in settings.secrets()
    assert settings.alerts.token not in repr(settings)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("too-short", "fewer than 16 characters"),
        ("with a blank in the middle", "holds a blank"),
        ("é" * 20, "ASCII"),
    ],
)
def test_a_token_that_nobody_should_rely_on_is_a_mistake_and_is_not_repeated(
    tmp_path: Path, token: str, words: str
) -> None:
    for said in (
        mistakes(tmp_path, LEAST + f'[alerts]\ntoken = "{token}"\n'),
        mistakes(tmp_path, LEAST, {"ALERT_WEBHOOK_TOKEN": token}),
    ):
        assert words in said
        assert token not in said


def test_the_url_of_alertmanager_is_one(tmp_path: Path) -> None:
    assert "ALERTMANAGER_URL: must begin with http://" in mistakes(
        tmp_path, LEAST, {"ALERTMANAGER_URL": "am:9093"}
    )
