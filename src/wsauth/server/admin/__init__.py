"""The admin API: users, sessions, connections, keys and orders, on a listener of its own."""
