"""The Grafana dashboards of the monitoring stack, as code: `python -m dashboards` writes their JSON."""
