"""The webhook configuration: which requests reach Guard, and keeping it so."""

from guard.registration.keeper import Keeper
from guard.registration.rules import NAME, client_config, configuration

__all__ = ["NAME", "Keeper", "client_config", "configuration"]
