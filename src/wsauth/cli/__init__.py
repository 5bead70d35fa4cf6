"""The command `wsauth`: one module for each of its verbs, `main` puts them together."""
