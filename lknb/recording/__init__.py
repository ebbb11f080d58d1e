"""Recordings: one MCAP file that keeps what happened in a room, for any program that reads MCAP, and for lknb.

`format.py` has the layout of the file, `writer.py` and `recorder.py` write it, `reader.py` and `recording.py` read it.
"""
