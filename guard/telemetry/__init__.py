"""What Guard tells about itself while it runs: logs as lines of JSON or text, and metrics for Prometheus. Neither holds a
secret's value, and neither can fail the work that it tells of.
"""

from guard.telemetry.failures import told
from guard.telemetry.logging import Form, configure, get, unawaited
from guard.telemetry.metrics import Metrics

__all__ = ["Form", "Metrics", "configure", "get", "told", "unawaited"]
