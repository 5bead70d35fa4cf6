"""The control plane: HTTP for people and programs, an admin API on a listener of its own, an echo behind the guard."""
