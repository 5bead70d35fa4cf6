"""Where an issuer's keys come from: configured, or fetched and kept."""
