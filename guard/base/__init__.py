"""What every part stands on: errors, JSON, time, backoff, names. Nothing here knows Kubernetes."""
