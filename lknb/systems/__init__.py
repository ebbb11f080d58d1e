"""LiveKit's six systems, a module each: text and byte streams, RPC, data packets, data tracks, and state."""
