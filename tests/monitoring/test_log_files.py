"""The files for Logstash, Filebeat, Elasticsearch and Kibana: what each does, and that they fit each other."""

from __future__ import annotations

import asyncio
import base64
import fnmatch
import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from indexer.journal_format import JsonLines
from indexer.shipping import DROPS, Pace, Room
from indexer.sync.failedtransactions import SHOWN, WINDOW_SECONDS
from tests.fixtures.elasticsearch import FakeElasticsearch, fake_elasticsearch
from tests.fixtures.logstashfile import OPTIONS, Event, LogstashFile
from tests.fixtures.lucene import matching

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
PASSWORD = 'pa"ss\\word $x'
#: Of those that Elasticsearch has.
MAPPING_TYPES = {"date", "keyword", "text", "long", "double", "flattened"}
BARE: Event = {
    "@metadata": {"beat": "filebeat"},
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "agent": {"name": "host-1"},
    "ecs": {"version": "8.0.0"},
    "host": {"name": "host-1"},
}
CONTAINER: Event = {
    **BARE,
    "log": {"file": {"path": "/var/lib/docker/containers/1/1-json.log"}},
    "fields": {"type": "container"},
}


@pytest.fixture(scope="module")
def pipeline() -> LogstashFile:
    return LogstashFile(MONITORING / "logstash" / "pipeline" / "logstash.conf")


@pytest.fixture(scope="module")
def filebeat() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((MONITORING / "filebeat" / "filebeat.yml").read_text())
    return read


def line(**fields: object) -> str:
    """A line as the journal writes it."""
    record = logging.LogRecord("indexer.test", logging.INFO, "", 1, "written", (), None)
    record.fields = fields
    return JsonLines(str).format(record)


def test_logstash_has_every_plugin_and_option_that_is_used(pipeline: LogstashFile) -> None:
    found = list(pipeline.plugins())
    assert {name for _, name, _ in found} == set(OPTIONS)
    unknown = [(name, set(options) - OPTIONS[name]) for _, name, options in found]
    assert [each for each in unknown if each[1]] == []
    ids = [options["id"] for _, _, options in found]
    assert len(ids) == len(set(ids)), "the metrics of Logstash tell plug-ins apart by their ids"
    ports = {name: options["port"] for section, name, options in found if section == "input"}
    assert ports == {"tcp": 5000, "beats": 5044}
    assert [options["codec"] for _, name, options in found if name == "tcp"] == ["json_lines"]


@pytest.mark.parametrize(
    ("event", "kind", "index"),
    [
        (json.loads(line(block=7)), "indexer", "indexer-logs-DAY"),
        ({"level": "ERROR", "service": "api", "message": "x"}, "json", "indexer-logs-DAY"),
        ({"message": "GET / HTTP/1.1", "tags": ["_jsonparsefailure"]}, "unread", "indexer-unread-DAY"),
        ({**CONTAINER, "message": "plain words"}, "container", "indexer-system-DAY"),
        ({**CONTAINER, "message": line(block=7)}, "indexer", "indexer-logs-DAY"),
        ({**CONTAINER, "message": '{"level": "info", "service": "api"}'}, "json", "indexer-logs-DAY"),
        ({**CONTAINER, "message": "{broken"}, "container", "indexer-system-DAY"),
        ({**CONTAINER, "message": '{"a": 1}'}, "container", "indexer-system-DAY"),
        ({**CONTAINER, "fields": {"type": "system"}, "message": "sshd: x"}, "system", "indexer-system-DAY"),
        (
            {"@metadata": {"beat": "filebeat"}, "host": {"name": "host-1"}, "message": "x"},
            "system",
            "indexer-system-DAY",
        ),
    ],
)
def test_each_kind_of_line_gets_its_type_and_its_index(
    pipeline: LogstashFile, event: Event, kind: str, index: str
) -> None:
    made = pipeline.filtered({"@version": "1", **event})
    assert made["type"] == kind
    assert pipeline.index(made) == index
    assert not {"@version", "agent", "ecs", "fields"} & set(made)
    if "@metadata" in event:
        assert (made["host_name"], made.get("host")) == ("host-1", None)
    if "level" in made:
        assert made["level"] == made["level"].lower()


def test_a_line_of_the_indexer_comes_out_with_all_its_fields(pipeline: LogstashFile) -> None:
    sent = json.loads(line(host="127.0.0.1", port=9464, block=7, query_duration=1.5))
    made = pipeline.filtered({"@version": "1", **sent})
    assert {name: made[name] for name in sent} == sent


def test_filebeat_sends_to_the_port_that_logstash_listens_on(
    filebeat: dict[str, Any], pipeline: LogstashFile
) -> None:
    (port,) = [options["port"] for _, name, options in pipeline.plugins() if name == "beats"]
    assert filebeat["output.logstash"]["hosts"] == [f"logstash:{port}"]
    inputs = filebeat["filebeat.inputs"]
    assert {each["type"] for each in inputs} == {"filestream"}
    assert len({each["id"] for each in inputs}) == len(inputs), "Filebeat remembers by it what it has read"
    assert {each["fields"]["type"] for each in inputs} == {"system", "container"}
    assert all(path.startswith("/var/") for each in inputs for path in each["paths"])


def test_filebeat_leaves_alone_what_the_indexer_sends_itself(filebeat: dict[str, Any]) -> None:
    (dropped,) = [
        each["drop_event"]["when"]["and"] for each in filebeat["processors"] if "drop_event" in each
    ]
    assert dropped[0] == {"equals": {"fields.type": "container"}}
    assert dropped[1]["contains"]["message"] in line()


def templates() -> Iterator[dict[str, Any]]:
    for name in ("indexer-logs", "indexer-system"):
        yield json.loads((MONITORING / "elasticsearch" / f"{name}.json").read_text())


def test_every_index_has_a_template_with_known_types_and_a_policy(pipeline: LogstashFile) -> None:
    patterns = [pattern for each in templates() for pattern in each["index_patterns"]]
    written = {
        options["add_field"][0][1][0] for _, name, options in pipeline.plugins() if "add_field" in options
    }
    assert written == {"indexer-logs", "indexer-unread", "indexer-system"}
    for index in (f"{name}-2026.01.02" for name in written):
        assert sum(fnmatch.fnmatch(index, pattern) for pattern in patterns) == 1, index
        # Elasticsearch's own template for these would make a data stream of it.
        assert not fnmatch.fnmatch(index, "logs-*-*")
    for template in templates():
        inside = template["template"]
        assert inside["settings"]["index.lifecycle.name"] == "indexer-logs"
        properties = inside["mappings"]["properties"]
        kinds = {each.get("type", "object") for each in properties.values()}
        assert kinds <= MAPPING_TYPES | {"object"}
        assert properties["@timestamp"] == {"type": "date"}


def test_kibanas_searches_are_the_four_of_the_guide_in_a_view_that_exists(pipeline: LogstashFile) -> None:
    objects = [
        json.loads(each) for each in (MONITORING / "kibana" / "saved-objects.ndjson").read_text().splitlines()
    ]
    views = {each["id"]: each["attributes"] for each in objects if each["type"] == "index-pattern"}
    assert len({(each["type"], each["id"]) for each in objects}) == len(objects)
    properties = next(templates())["template"]["mappings"]["properties"]
    found = []
    for search in (each for each in objects if each["type"] == "search"):
        source = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        (reference,) = search["references"]
        assert reference["name"] == source["indexRefName"]
        assert fnmatch.fnmatch("indexer-logs-2026.01.02", views[reference["id"]]["title"])
        assert views[reference["id"]]["timeFieldName"] == "@timestamp"
        assert source["query"]["language"] == "lucene", (
            "the range of a date is not written so in the other one"
        )
        assert search["attributes"]["description"] == source["query"]["query"]
        found.append(source["query"]["query"])
    assert found == [
        "level:error AND @timestamp:[now-1h TO now]",
        "service:evm-indexer AND level:error",
        "event_type:contract_tx AND status:failed",
        "query_duration:>1000",
    ]
    for column in ("query_duration", "level", "event_type", "status", "service", "@timestamp"):
        assert column in properties


async def install(server: FakeElasticsearch, **environment: str) -> tuple[int, str]:
    """Exit code and words of the script that puts everything in place."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        str(MONITORING / "elasticsearch" / "install"),
        env={
            "PATH": os.environ["PATH"],
            "ELASTICSEARCH_URL": server.url,
            "KIBANA_URL": server.url,
            "ELASTICSEARCH_PASSWORD": PASSWORD,
            "NO_PROXY": "*",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.integration
async def test_retention_templates_and_searches_are_put_in_place() -> None:
    async with fake_elasticsearch() as server:
        server.unready = 1
        code, said = await install(server, LOG_RETENTION_DAYS="45")
        assert code == 0, said
        sent = {f"{each.method} {each.path}": each for each in server.requests}
        assert list(sent) == [
            "GET /_cluster/health",
            "PUT /_ilm/policy/indexer-logs",
            "PUT /_index_template/indexer-logs",
            "PUT /_index_template/indexer-system",
            "GET /api/status",
            "POST /api/saved_objects/_import?overwrite=true",
        ]
    user = base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
    assert {each.headers["Authorization"] for each in server.requests} == {f"Basic {user}"}
    assert PASSWORD not in said
    policy = json.loads(sent["PUT /_ilm/policy/indexer-logs"].body)["policy"]["phases"]
    assert policy["delete"]["min_age"] == "45d"
    for name, template in zip(("indexer-logs", "indexer-system"), templates(), strict=True):
        assert json.loads(sent[f"PUT /_index_template/{name}"].body) == template
    searches = sent["POST /api/saved_objects/_import?overwrite=true"]
    assert searches.headers["kbn-xsrf"] == "true"
    assert (MONITORING / "kibana" / "saved-objects.ndjson").read_bytes() in searches.body


@pytest.mark.integration
async def test_what_is_refused_ends_the_script_with_what_was_said() -> None:
    async with fake_elasticsearch() as server:
        server.refused_path = "/_index_template/indexer-system"
        code, said = await install(server)
        assert code != 0
        assert '{"error": "no"}' in said
        assert "all in place" not in said
        for days in ("", "0", "2", "soon"):
            code, said = await install(server, LOG_RETENTION_DAYS=days or " ")
            assert code == 2, said
            assert "LOG_RETENTION_DAYS must be" in said


def test_the_evaluator_of_searches_can_say_no() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    properties = next(templates())["template"]["mappings"]["properties"]

    def finds(query: str, **document: object) -> bool:
        return matching(query, properties, now)(
            {"@timestamp" if name == "at" else name: v for name, v in document.items()}
        )

    assert finds("level:error", level="error")
    assert not finds("level:error", level="critical")
    assert finds("(level:error OR level:critical) AND NOT status:failed", level="critical")
    assert finds("query_duration:>1000", query_duration=1000.5)
    assert not finds("query_duration:>1000", query_duration="5000"), "a text is no number"
    assert finds("@timestamp:[now-1h TO now]", at="2026-01-02T02:04:05.000Z")
    assert not finds("@timestamp:[now-1h TO now]", at="2026-01-02T02:04:04.999Z")
    assert finds("NOT status:failed AND service:evm-indexer", service="evm-indexer")
    assert finds('message:"another chain"', message="endpoint serves another chain")
    for broken in ("level:", "level:error AND", "(level:error", "level:>5", "level=error", "status:[1 TO 2]"):
        with pytest.raises(ValueError, match=re.compile("understood|ends|bracket|number|date")):
            matching(broken, properties, now)


def test_the_documentation_tells_the_limits_and_searches_that_there_are() -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    room, pace = Room(), Pace()
    assert (room.bytes, room.line_bytes) == (16 << 20, 1 << 20)
    assert (pace.flush, pace.stall, pace.announce) == (3, 120, 60)
    assert (pace.first_pause, pace.longest_pause) == (0.5, 30)
    assert (SHOWN, WINDOW_SECONDS) == (20, 60)
    for words in (
        f"{room.lines:,} lines or 16 MiB",
        "more than 1 MiB",
        "has three seconds",
        f"{SHOWN} are shown",
    ):
        assert words in page
    for reason in DROPS:
        assert f"| `{reason}` |" in page
    objects = (MONITORING / "kibana" / "saved-objects.ndjson").read_text().splitlines()
    queries = [
        found["attributes"]["description"] for found in map(json.loads, objects) if found["type"] == "search"
    ]
    assert len(queries) == 4
    for query in queries:
        assert f"| `{query}` |" in page
