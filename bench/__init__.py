"""How fast the platform is, and what a request costs: `make bench`."""
