"""The webhook configuration and the fence around Guard's own: which requests reach Guard, and keeping it so."""

from guard.registration.fence import LONGEST_SECONDS as LONGEST_BREAK_GLASS
from guard.registration.registration import Registration
from guard.registration.rules import NAME, client_config

__all__ = ["LONGEST_BREAK_GLASS", "NAME", "Registration", "client_config"]
