"""Our own endpoints: metrics and health."""
