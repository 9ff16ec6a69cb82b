"""A camera's user and password beside its address."""

from pydantic import model_validator

from pipeline.core.address import Secret
from pipeline.core.config import Config


class LoginConfig(Config):
    """User and password of a camera, where they are not in its URL."""

    username: str | None = None
    """User, instead of the one in the URL; needs no percent-encoding here."""
    password: Secret | None = None
    """Password that belongs to `username`."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> "LoginConfig":
        if self.password is not None and self.username is None:
            raise ValueError("has a `password` without a `username`; give both, or both in the url")
        return self
