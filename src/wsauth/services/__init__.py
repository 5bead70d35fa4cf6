"""Do. The use cases, over `core` and `interfaces`."""
