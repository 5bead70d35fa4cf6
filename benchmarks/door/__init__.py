"""Show what the door does when it is pushed: guesses, a restart, logins at once, forgeries, a stopped audit log."""
