"""The subjects: three small echo applications, each without auth, with PyJWT and with wsauth."""
