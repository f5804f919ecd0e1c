"""Break-glass: which BreakGlass objects there are, what they open at the moment, and what is said of them."""

from guard.breakglass.keeping import BreakGlasses
from guard.breakglass.role import install_role, role

__all__ = ["BreakGlasses", "install_role", "role"]
