"""Sends the mails that events ask for, each once."""
