"""`make demo`: Guard on a real API server, told as a story that checks itself. `play.py` is where it starts."""

__all__: list[str] = []
