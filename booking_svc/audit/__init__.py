"""The operators' audit: the invariants of what is sold, recomputed from MongoDB and Redis. It changes nothing."""
