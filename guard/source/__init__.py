"""Where the desired state comes from: fetches revisions and hands out their files. Knows neither YAML nor the cluster;
credentials are passed in.
"""

from guard.source.git import GitCredentials, GitRef, GitSource
from guard.source.poll import poll
from guard.source.receiver import Hook, Receiver

__all__ = ["GitCredentials", "GitRef", "GitSource", "Hook", "Receiver", "poll"]
