"""The HTTP API for everybody: log in, go on, log out, tickets, and what there is to know."""
