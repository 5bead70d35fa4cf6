"""The feed: what all processes must know reaches this one, and its orders are carried out and answered."""
