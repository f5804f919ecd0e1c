"""Where the desired state comes from: fetches revisions and hands out their files. Knows neither YAML nor the cluster;
credentials are passed in.
"""

from guard.source.address import GitRef
from guard.source.bucket import BucketSource
from guard.source.bucketcredentials import BucketCredentials, bucket_credentials_of
from guard.source.credentials import GitCredentials, credentials_of
from guard.source.git import GitSource
from guard.source.poll import poll
from guard.source.ports import Link, Signed, Source, Trust
from guard.source.receiver import Hook, Receiver

__all__ = [
    "BucketCredentials",
    "BucketSource",
    "GitCredentials",
    "GitRef",
    "GitSource",
    "Hook",
    "Link",
    "Receiver",
    "Signed",
    "Source",
    "Trust",
    "bucket_credentials_of",
    "credentials_of",
    "poll",
]
