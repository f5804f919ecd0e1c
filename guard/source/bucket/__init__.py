"""Buckets of S3, and of stores that speak as S3 does, as sources."""

from guard.source.bucket.credentials import BucketCredentials, bucket_credentials_of
from guard.source.bucket.source import BucketSource

__all__ = ["BucketCredentials", "BucketSource", "bucket_credentials_of"]
