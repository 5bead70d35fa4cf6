"""The open connections of this process: who they are, when they are due, and how they are ended."""
