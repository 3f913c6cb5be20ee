"""The graph database: connection, queries and store."""
