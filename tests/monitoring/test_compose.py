"""The monitoring stack's compose files, as the real `docker compose` reads them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.fixtures.composing import NEEDED, ROOT, Composed, filled_in

#: The main stack's; all others are the monitoring stack's.
MAIN = {"indexer", "postgres", "anvil"}
SERVICES = {
    "prometheus",
    "alertmanager",
    "grafana",
    "node-exporter",
    "postgres-exporter",
    "redis-exporter",
    "blackbox-exporter",
    "cadvisor",
    "elasticsearch",
    "logstash",
    "kibana",
    "filebeat",
}
#: Those that do their work and end, so that no health check could ever look at them.
ENDING = {"postgres-role", "elasticsearch-setup", "kibana-setup"}
#: What is read of the machine itself.
OF_THE_MACHINE = {
    "node-exporter": {"/"},
    "cadvisor": {"/", "/var/run", "/sys", "/var/lib/docker", "/dev/disk"},
    "filebeat": {"/var/log", "/var/lib/docker/containers"},
}
#: Who has to reach whom.
TALKS = [
    ("prometheus", "indexer"),
    ("prometheus", "alertmanager"),
    ("prometheus", "node-exporter"),
    ("prometheus", "postgres-exporter"),
    ("prometheus", "redis-exporter"),
    ("prometheus", "blackbox-exporter"),
    ("prometheus", "cadvisor"),
    ("blackbox-exporter", "indexer"),
    ("alertmanager", "indexer"),
    ("indexer", "alertmanager"),
    ("indexer", "logstash"),
    ("indexer", "postgres"),
    ("grafana", "prometheus"),
    ("postgres-role", "postgres"),
    ("postgres-exporter", "postgres"),
    ("logstash", "elasticsearch"),
    ("kibana", "elasticsearch"),
    ("elasticsearch-setup", "elasticsearch"),
    ("kibana-setup", "kibana"),
    ("filebeat", "logstash"),
]
#: Who must not.
SILENT = [
    ("grafana", "postgres"),
    ("kibana", "postgres"),
    ("filebeat", "postgres"),
    ("prometheus", "elasticsearch"),
    ("indexer", "elasticsearch"),
    ("postgres", "elasticsearch"),
]

Project = dict[str, Any]


def monitoring(project: Project) -> dict[str, Project]:
    """The services that the main stack does not have."""
    return {name: each for name, each in project["services"].items() if name not in MAIN}


def reaches(project: Project, one: str, other: str) -> bool:
    """Whether the first finds the second by its name."""
    here, there = project["services"][one], project["services"][other]
    if there.get("network_mode") == "host":
        return any(entry.startswith(f"{other}=") for entry in here.get("extra_hosts", ()))
    return bool(here.get("networks", {}).keys() & there.get("networks", {}).keys())


def test_the_files_are_clean_and_have_every_service(compose_project: Project) -> None:
    assert set(monitoring(compose_project)) >= SERVICES
    assert set(monitoring(compose_project)) - SERVICES == ENDING


@pytest.mark.parametrize("name", NEEDED)
def test_nothing_starts_without_a_needed_value_and_the_message_says_where_it_goes(
    composed: Composed, name: str
) -> None:
    file = NEEDED[name]
    composed.fill_in({name: ""}, file)
    done = composed.run("config", "--quiet")
    assert done.returncode
    assert f"required variable {name} is missing a value: set it in {file}, see {file}.example" in done.stderr


def test_a_missing_file_of_variables_is_named(composed: Composed) -> None:
    (composed.directory / ".env.monitoring").unlink()
    done = composed.run("config", "--quiet")
    assert done.returncode
    assert ".env.monitoring" in done.stderr


def test_every_mounted_file_is_in_the_repository_and_cannot_be_written(compose_project: Project) -> None:
    missing = []
    for name, service in monitoring(compose_project).items():
        for mount in (each for each in service.get("volumes", ()) if each["type"] == "bind"):
            assert mount.get("read_only"), f"{name} may write to {mount['source']}"
            source = mount["source"]
            if source.startswith("/"):
                assert source in OF_THE_MACHINE.get(name, ()), f"{name} reads {source}"
            elif not (ROOT / source).exists():
                missing.append(f"{name}: {source}")
    assert not missing


def published(service: Project) -> list[str]:
    """The addresses of this machine on which the service's ports are open."""
    return [port.get("host_ip", "0.0.0.0") for port in service.get("ports", ())]


def test_every_port_is_open_on_loopback_only(compose_project: Project) -> None:
    addresses = {name: published(service) for name, service in compose_project["services"].items()}
    assert addresses["grafana"]
    assert not {name: each for name, each in addresses.items() if set(each) - {"127.0.0.1"}}


def test_grafana_alone_may_be_asked_to_listen_elsewhere(composed: Composed) -> None:
    composed.fill_in({"GRAFANA_LISTEN": "192.0.2.7"})
    services = composed.project()["services"]
    assert published(services["grafana"]) == ["192.0.2.7"]
    others = {address for name, each in services.items() if name != "grafana" for address in published(each)}
    assert others == {"127.0.0.1"}


def test_the_exporter_on_the_machines_network_listens_where_only_this_stack_reaches_it(
    compose_project: Project,
) -> None:
    (network,) = compose_project["networks"]["monitoring"]["ipam"]["config"]
    assert compose_project["services"]["prometheus"]["extra_hosts"] == [f"node-exporter={network['gateway']}"]
    assert (
        f"--web.listen-address={network['gateway']}:9100"
        in compose_project["services"]["node-exporter"]["command"]
    )


def test_every_service_has_a_health_check_limits_and_is_started_again(compose_project: Project) -> None:
    for name, service in monitoring(compose_project).items():
        checked = service.get("healthcheck", {})
        assert bool(checked.get("test") and not checked.get("disable")) != (name in ENDING), name
        assert 0 < int(service["mem_limit"]) <= 2**30, name
        assert 0 < service["cpus"] <= 1, name
        assert service["pids_limit"] > 0, name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == ("on-failure:5" if name in ENDING else "unless-stopped"), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name


def test_every_image_is_of_one_version(compose_project: Project) -> None:
    images = {name: service["image"] for name, service in monitoring(compose_project).items()}
    assert not {
        name: image for name, image in images.items() if not re.search(r":v?\d+[\d.]*(-\w+)?$", image)
    }
    elastic = {image.rpartition(":")[2] for image in images.values() if ".elastic.co/" in image}
    assert len(elastic) == 1


@pytest.mark.parametrize(("one", "other"), TALKS)
def test_who_has_to_reach_whom_does(compose_project: Project, one: str, other: str) -> None:
    assert reaches(compose_project, one, other)


@pytest.mark.parametrize(("one", "other"), SILENT)
def test_who_has_no_business_with_whom_cannot_reach_it(
    compose_project: Project, one: str, other: str
) -> None:
    assert not reaches(compose_project, one, other)


def test_each_secret_is_given_to_nobody_but_those_who_need_it(compose_project: Project) -> None:
    knows = {
        name: {
            each
            for each, service in compose_project["services"].items()
            if filled_in(name) in json.dumps(service)
        }
        for name in NEEDED
    }
    assert knows == {
        "POSTGRES_PASSWORD": {"postgres", "indexer", "postgres-role"},
        "GRAFANA_ADMIN_PASSWORD": {"grafana"},
        "ALERT_WEBHOOK_TOKEN": {"alertmanager", "indexer"},
        "POSTGRES_MONITOR_PASSWORD": {"postgres-role", "postgres-exporter"},
        "ELASTIC_PASSWORD": {"elasticsearch", "elasticsearch-setup", "kibana-setup", "logstash"},
        "KIBANA_SYSTEM_PASSWORD": {"kibana", "elasticsearch-setup"},
    }


def test_a_password_may_hold_any_character(composed: Composed) -> None:
    composed.fill_in({"GRAFANA_ADMIN_PASSWORD": "'a$b#c \"d\" e'"})
    environment = composed.project()["services"]["grafana"]["environment"]
    # Twice, as always in what `config` prints.
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == 'a$$b#c "d" e'


def test_no_secret_is_an_argument_of_a_command(compose_project: Project) -> None:
    commands = json.dumps(
        [
            (each.get("command"), each.get("entrypoint"), each.get("healthcheck"))
            for each in compose_project["services"].values()
        ]
    )
    assert not [name for name in NEEDED if filled_in(name) in commands]


def test_the_indexer_knows_the_parts_of_the_stack(compose_project: Project) -> None:
    environment = compose_project["services"]["indexer"]["environment"]
    assert environment["ALERTMANAGER_URL"] == "http://alertmanager:9093"
    assert environment["LOGSTASH_ADDRESS"] == "logstash:5000"
    assert environment["ALERT_WEBHOOK_TOKEN"] == filled_in("ALERT_WEBHOOK_TOKEN")
    assert {"SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_TRACES_SAMPLE_RATE"} <= environment.keys()
    # What the main stack gives it is still there.
    assert {"RPC_URL", "DATABASE_URL"} <= environment.keys()


def test_every_variable_is_in_an_example_and_every_one_of_an_example_is_used() -> None:
    files = "".join((ROOT / name).read_text() for name in ("docker-compose.yml", "monitoring/compose.yml"))
    used = set(re.findall(r"\$\{([A-Z_]+)", files))
    examples = "".join((ROOT / name).read_text() for name in (".env.example", ".env.monitoring.example"))
    assert used == set(re.findall(r"^#?([A-Z_]+)=", examples, re.MULTILINE))


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "monitoring/compose.yml").read_text()
    given = re.findall(r"\$\{(\w*(?:PASSWORD|TOKEN|KEY|DSN|_URL)):-([^}]+)\}", text)
    assert {name for name, _ in given} <= {"GRAFANA_URL"}


def test_grafana_lets_nobody_in_unasked_and_calls_nobody(compose_project: Project) -> None:
    environment = compose_project["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == filled_in("GRAFANA_ADMIN_PASSWORD")
    for name in ("AUTH_ANONYMOUS_ENABLED", "USERS_ALLOW_SIGN_UP", "ANALYTICS_REPORTING_ENABLED"):
        assert environment[f"GF_{name}"] == "false"


def test_redis_is_watched_only_where_it_was_asked_for(composed: Composed) -> None:
    assert "redis-exporter" not in composed.run("config", "--services").stdout.split()
    assert "redis-exporter" in composed.run("--profile", "redis", "config", "--services").stdout.split()
