"""Sells tickets: sales terms, holds in Redis, bookings in MongoDB."""
