"""Where the desired state comes from: fetches revisions and hands out their files. Knows neither YAML nor the cluster;
credentials are passed in.
"""

from guard.source.address import GitRef
from guard.source.bucket import BucketCredentials, BucketSource, bucket_credentials_of
from guard.source.credentials import GitCredentials, credentials_of
from guard.source.git import GitSource, GitVerify
from guard.source.poll import poll
from guard.source.ports import Link, Signed, Source, Trust
from guard.source.receiver import Hook, Receiver
from guard.source.verify.bucket import BucketVerify
from guard.source.verify.known import Known

__all__ = [
    "BucketCredentials",
    "BucketSource",
    "BucketVerify",
    "GitCredentials",
    "GitRef",
    "GitSource",
    "GitVerify",
    "Hook",
    "Known",
    "Link",
    "Receiver",
    "Signed",
    "Source",
    "Trust",
    "bucket_credentials_of",
    "credentials_of",
    "poll",
]
