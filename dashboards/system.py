"""System: processors, memory, disks, network and containers of the hosts."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import RATE, Board, Choice, Limit, Query, Row, graph, number

HOST = 'instance=~"$instance"'
#: File systems that hold something.
DISKS = f'{HOST}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|nsfs|autofs", mountpoint!~"/(dev|proc|sys|run)(/.*)?"'
WIRES = f'{HOST}, device!~"lo|veth.*|br-.*|docker.*"'
CONTAINER = 'name=~".+"'
USED_MEMORY = f"1 - node_memory_MemAvailable_bytes{{{HOST}}} / node_memory_MemTotal_bytes{{{HOST}}}"
USED_CPU = f'1 - avg by (instance) (rate(node_cpu_seconds_total{{{HOST}, mode="idle"}}[{RATE}]))'
USED_DISK = (
    f"1 - max by (instance, device) (node_filesystem_avail_bytes{{{DISKS}}}) / "
    f"max by (instance, device) (node_filesystem_size_bytes{{{DISKS}}})"
)


def disk(counter: str) -> str:
    """A counter of a disk a second."""
    return f"sum by (instance, device) (rate({counter}{{{HOST}}}[{RATE}]))"


def wire(counter: str) -> str:
    """A counter of a network interface a second."""
    return f"sum by (instance, device) (rate({counter}{{{WIRES}}}[{RATE}]))"


def container(counter: str) -> str:
    """A counter of a container a second."""
    return f"sum by (name) (rate({counter}{{{CONTAINER}}}[{RATE}]))"


NOW = (
    number(
        "CPU",
        "Share of all processors in use.",
        Query(USED_CPU, "{{instance}}"),
        unit="percentunit",
        limits=limits.CPU,
    ),
    number(
        "Memory",
        "Share that is not available.",
        Query(USED_MEMORY, "{{instance}}"),
        unit="percentunit",
        limits=limits.MEMORY,
    ),
    number(
        "Fullest disk",
        "Share of the file system in use.",
        Query(f"max by (instance) ({USED_DISK})", "{{instance}}"),
        unit="percentunit",
        limits=limits.DISK,
    ),
    number(
        "Load",
        "Processes that run or wait for a disk, for each processor; above 1 they queue.",
        Query(
            f'node_load5{{{HOST}}} / count by (instance, job) (node_cpu_seconds_total{{{HOST}, mode="idle"}})',
            "{{instance}}",
        ),
        limits=(Limit(1, "yellow"), Limit(2, "red")),
    ),
    number(
        "Up for",
        "Since the host was started.",
        Query(f"time() - node_boot_time_seconds{{{HOST}}}", "{{instance}}"),
        unit="s",
        start="blue",
    ),
    number(
        "Containers", "That are running.", Query(f"count(container_last_seen{{{CONTAINER}}})"), start="blue"
    ),
)

PROCESSORS_AND_MEMORY = (
    graph(
        "CPU usage",
        "Share of all processors in use.",
        Query(USED_CPU, "{{instance}}"),
        unit="percentunit",
        limits=limits.CPU,
        most=1,
    ),
    graph(
        "CPU by what it does",
        "Processors in use; iowait is time in which a disk was waited for.",
        Query(f'sum by (mode) (rate(node_cpu_seconds_total{{{HOST}, mode!="idle"}}[{RATE}]))', "{{mode}}"),
        stacked=True,
    ),
    graph(
        "Memory usage",
        "Share that is not available to programs.",
        Query(USED_MEMORY, "{{instance}}"),
        unit="percentunit",
        limits=limits.MEMORY,
        most=1,
    ),
)

DISKS_PANELS = (
    graph(
        "Disk I/O",
        "Bytes a second.",
        Query(disk("node_disk_read_bytes_total"), "read {{device}} {{instance}}"),
        Query(disk("node_disk_written_bytes_total"), "written {{device}} {{instance}}"),
        unit="Bps",
        width=6,
    ),
    graph(
        "Disks busy",
        "Share of the time in which the disk had something to do.",
        Query(disk("node_disk_io_time_seconds_total"), "{{device}} {{instance}}"),
        unit="percentunit",
        width=6,
    ),
    graph(
        "Disk space",
        "Share in use.",
        Query(USED_DISK, "{{device}} {{instance}}"),
        unit="percentunit",
        limits=limits.DISK,
        most=1,
        width=6,
    ),
    graph(
        "Free in four days",
        "If it goes on as in the last six hours. DiskFilling: below 0.",
        Query(
            f"min by (instance, device) (predict_linear(node_filesystem_avail_bytes{{{DISKS}}}[6h], 4 * 86400))",
            "{{device}} {{instance}}",
        ),
        unit="bytes",
        least=None,
        width=6,
    ),
)

NETWORK = (
    graph(
        "Network traffic: received",
        "Bytes a second.",
        Query(wire("node_network_receive_bytes_total"), "{{device}} {{instance}}"),
        unit="Bps",
    ),
    graph(
        "Network traffic: sent",
        "Bytes a second.",
        Query(wire("node_network_transmit_bytes_total"), "{{device}} {{instance}}"),
        unit="Bps",
    ),
    graph(
        "Network errors",
        "Packets a second that were lost or broken.",
        Query(wire("node_network_receive_errs_total"), "received {{device}}"),
        Query(wire("node_network_transmit_errs_total"), "sent {{device}}"),
        Query(wire("node_network_receive_drop_total"), "dropped {{device}}"),
        unit="pps",
    ),
)

CONTAINERS = (
    graph(
        "Container CPU",
        "Processors in use.",
        Query(container("container_cpu_usage_seconds_total"), "{{name}}"),
        stacked=True,
    ),
    graph(
        "Container memory",
        "What cannot be taken back without harm.",
        Query(f"sum by (name) (container_memory_working_set_bytes{{{CONTAINER}}})", "{{name}}"),
        unit="bytes",
        stacked=True,
    ),
    graph(
        "Container memory of its limit",
        "Containers without a limit are left out.",
        Query(
            f"sum by (name) (container_memory_working_set_bytes{{{CONTAINER}}}) / "
            f"(sum by (name) (container_spec_memory_limit_bytes{{{CONTAINER}}}) > 0)",
            "{{name}}",
        ),
        unit="percentunit",
        limits=limits.CONTAINER_MEMORY,
    ),
    graph(
        "Container network",
        "Bytes a second.",
        Query(container("container_network_receive_bytes_total"), "received {{name}}"),
        Query(container("container_network_transmit_bytes_total"), "sent {{name}}"),
        unit="Bps",
        width=12,
    ),
    graph(
        "Container starts",
        "How often each was started in the last hour, the first time not counted.",
        Query(f"sum by (name) (changes(container_start_time_seconds{{{CONTAINER}}}[1h]))", "{{name}}"),
        limits=limits.ANY_IS_ODD,
        width=12,
    ),
)

SYSTEM = Board(
    uid="indexer-system",
    file="system.json",
    title="System",
    question="Have the hosts and containers enough of everything: processors, memory, disk, network?",
    variables=(Choice("instance", "Host", "node_uname_info"),),
    rows=(
        Row("Now", NOW),
        Row("Processors and memory", PROCESSORS_AND_MEMORY),
        Row("Disks", DISKS_PANELS),
        Row("Network", NETWORK),
        Row("Containers", CONTAINERS),
    ),
)
