"""Carry. Each integration feeds events to the one machine and carries out its commands; none decides anything."""
