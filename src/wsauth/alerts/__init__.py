"""Telling people elsewhere."""

from wsauth.alerts.webhooks import Webhooks
from wsauth.core.webhooks import Webhook

__all__ = ["Webhook", "Webhooks"]
