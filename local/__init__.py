"""The whole platform on one machine without Docker: `make run`, `make ps`, `make shell`."""
