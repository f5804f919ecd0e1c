"""What Guard costs at admission, and how fast it heals, measured on a real API server."""
