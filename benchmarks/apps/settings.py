"""Say what the servers and the makers of tokens have to agree on."""

ISSUER = "https://login.example.com"
AUDIENCE = "chat"
SECRET = "benchmarks only: thirty-two bytes and some more"
