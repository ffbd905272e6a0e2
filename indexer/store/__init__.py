"""PostgreSQL: the schema, the only writer, the readers, and a server of our own where none is given."""
