"""A local chain to develop and test against: Anvil, sample contracts, traffic and reorgs."""
