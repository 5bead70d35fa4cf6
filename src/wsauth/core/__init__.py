"""Decide. Bytes, text and `now` go in, values come out; nothing here awaits, reads a clock or draws a number."""
