"""Somebody else's logins: signing in with a provider, and what it tells of log-outs."""
