"""Concerts and their life cycle, until sales close by themselves."""
