"""Payloads as values and as columns: what the formats mean that `room.decode` knows, each within bounds."""
