"""The REST API: HTTP in, RPC out; no business rule lives here."""
