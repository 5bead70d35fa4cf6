"""The admin API, put together (CONTRACT section 4)."""

__all__ = ["admin_api"]
