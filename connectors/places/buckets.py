"""Buckets of S3, Google and Azure: how to get in, and what their answers mean."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pipeline.core.address import Address, Secret
from pipeline.core.config import Config, PositiveDuration, parse_duration

if TYPE_CHECKING:
    from obstore.store import (
        AzureConfig,
        ClientConfig,
        GCSConfig,
        ObjectStore,
        RetryConfig,
        S3Config,
    )

_BUCKET = re.compile(r"(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(?:/[^\s?#]*)?")
_CONNECT_WITHIN_S = 3.0
_RETRIES = 2
_STATUS = re.compile(r"\b(?:status|code)\D{0,12}([45]\d\d)\b", re.IGNORECASE)


def is_bucket(url: str) -> bool:
    """Whether it names a bucket and perhaps a prefix in it."""
    return _BUCKET.fullmatch(url) is not None and ".." not in url.split("/")


class BucketAccess(Config):
    """The fields that say where a bucket is and how to get in."""

    url: str
    """`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`."""
    endpoint: Address | None = None
    """`https://HOST:PORT` of a server other than the cloud's own, such as MinIO; of Azure with the
    account behind it: `https://HOST:PORT/ACCOUNT`."""
    region: str | None = None
    """The bucket's region, for `s3://`; else that of the environment."""
    access_key: Secret | None = None
    """The id of the key for `s3://`, the name of the account for `az://`; else the environment's,
    as the cloud's own tools take it."""
    secret_key: Secret | None = None
    """The key itself, for `s3://` and `az://`."""
    timeout: PositiveDuration = Field(default_factory=lambda: parse_duration("10s"))
    """How long one request may take; what fails is tried again for about as long."""

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint(cls, endpoint: Address | None) -> Address | None:
        if endpoint is not None:
            parts = urlsplit(endpoint.reveal())
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
                raise ValueError("an endpoint is https://HOST or http://HOST:PORT, without a login")
        return endpoint

    @model_validator(mode="after")
    def _key_fits(self) -> "BucketAccess":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("needs both `access_key` and `secret_key`, or neither")
        if self.region is not None and not self.url.startswith("s3://"):
            raise ValueError("`region` is for s3:// only; a bucket of the others has one place")
        if self.access_key is not None and self.url.startswith("gs://"):
            raise ValueError(
                "`access_key` is not for gs://; GOOGLE_SERVICE_ACCOUNT in the environment names "
                "the key's file"
            )
        return self


def client_of(config: BucketAccess, timeout_s: float, setting: str) -> "ObjectStore":
    """A client, which asks nothing yet; raises ValueError with a sentence where there can be none.

    `setting` is where the bucket's address stands in the file.
    """
    from obstore import exceptions
    from obstore.store import AzureStore, GCSStore, S3Store

    timeout = timedelta(seconds=timeout_s)
    connect = timedelta(seconds=min(timeout_s, _CONNECT_WITHIN_S))
    plain = config.endpoint is not None and config.endpoint.scheme == "http"
    client: ClientConfig = {"timeout": timeout, "connect_timeout": connect, "allow_http": plain}
    retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timeout}
    try:
        if config.url.startswith("gs://"):
            return GCSStore.from_url(
                config.url, config=_google(config), client_options=client, retry_config=retry
            )
        if config.url.startswith("az://"):
            return AzureStore.from_url(
                config.url, config=_azure(config), client_options=client, retry_config=retry
            )
        return S3Store.from_url(
            config.url, config=_amazon(config), client_options=client, retry_config=retry
        )
    except (exceptions.BaseError, ValueError) as error:
        reason = reason_of(error, setting)[0]
    raise ValueError(f"the bucket {config.url} cannot be used: {reason}")


def _amazon(config: BucketAccess) -> "S3Config":
    settings: S3Config = {}
    if config.endpoint is not None:
        settings["endpoint"] = config.endpoint.reveal()
        settings["region"] = "us-east-1"
    if config.region is not None:
        settings["region"] = config.region
    if config.access_key is not None and config.secret_key is not None:
        settings["access_key_id"] = config.access_key.reveal()
        settings["secret_access_key"] = config.secret_key.reveal()
    return settings


def _google(config: BucketAccess) -> "GCSConfig":
    return {} if config.endpoint is None else {"base_url": config.endpoint.reveal()}


def _azure(config: BucketAccess) -> "AzureConfig":
    settings: AzureConfig = {}
    if config.endpoint is not None:
        settings["endpoint"] = config.endpoint.reveal()
    if config.access_key is not None and config.secret_key is not None:
        settings["account_name"] = config.access_key.reveal()
        settings["account_key"] = config.secret_key.reveal()
    return settings


def reason_of(error: Exception, setting: str) -> tuple[str, bool]:
    """Why something failed, as a sentence, and whether trying again at once is of no use.

    Texts of the library quote requests and answers, so nothing of them is passed on but a number.
    """
    from obstore import exceptions

    text = str(error)
    if "NoSuchBucket" in text or "ContainerNotFound" in text:
        return f"there is no such bucket; create it, or correct `{setting}`", True
    if isinstance(error, FileNotFoundError):
        return "it is not there", False
    is_refused = isinstance(error, PermissionError | exceptions.UnauthenticatedError)
    # Without a key the library asks the machine that it runs on for one, at this address.
    if "169.254." in text or ("redential" in text and not is_refused):
        return (
            "there is no key; give `access_key` and `secret_key`, or the environment variables of "
            "the cloud's own tools (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY)",
            True,
        )
    status = _STATUS.search(text)
    if is_refused or (status is not None and status[1] == "403"):
        return "the key is wrong, or may not do this in the bucket (access denied)", True
    if status is not None:
        return f"the bucket's server answered with status {status[1]}", True
    return "the bucket's server cannot be reached, or does not answer in time", True
