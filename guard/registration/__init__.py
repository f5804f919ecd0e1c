"""The webhook configuration and the fence around Guard's own: which requests reach Guard, and keeping it so."""

from guard.registration.fence import ADMIN_GROUPS, BINDING, POLICY, fence
from guard.registration.keeper import Keeper
from guard.registration.rules import NAME, client_config, configuration

__all__ = ["ADMIN_GROUPS", "BINDING", "NAME", "POLICY", "Keeper", "client_config", "configuration", "fence"]
