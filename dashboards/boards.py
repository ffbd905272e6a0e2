"""All boards, in the order in which Grafana's readers meet them."""

from __future__ import annotations

from dashboards.blockchain import BLOCKCHAIN
from dashboards.board import Board
from dashboards.database import DATABASE
from dashboards.incident import INCIDENT
from dashboards.internals import INTERNALS
from dashboards.objectives import SLO
from dashboards.overview import OVERVIEW
from dashboards.system import SYSTEM

BOARDS: tuple[Board, ...] = (OVERVIEW, BLOCKCHAIN, INTERNALS, DATABASE, SYSTEM, SLO, INCIDENT)
