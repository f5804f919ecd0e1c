"""The webhook configuration and the fence around Guard's own: which requests reach Guard, and keeping it so."""

from guard.registration.registration import Registration
from guard.registration.rules import NAME, client_config

__all__ = ["NAME", "Registration", "client_config"]
