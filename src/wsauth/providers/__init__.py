"""Identity providers with which people sign in: OpenID Connect, and OAuth 2 by its endpoints."""
