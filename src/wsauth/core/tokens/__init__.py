"""Say whether a compact JWS is good, given keys and `now`: envelope, keys, claims, rights."""
