"""Measurements: how quick the indexer is, against what PostgreSQL alone can do in the same minutes."""
