"""Stands in for AWS' Security Token Service on loopback: who shows the right token gets credentials that the S3 server takes.

They come without a session token unless told otherwise: that server takes none but its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

from guard.base.clock import rfc3339_seconds

TOKEN, ROLE = "the-token-of-guards-service-account", "arn:aws:iam::123456789012:role/guard"

_GIVEN = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{secret_key}</SecretAccessKey>
<SessionToken>{session_token}</SessionToken><Expiration>{expires}</Expiration></Credentials>
<AssumedRoleUser><Arn>{role}</Arn><AssumedRoleId>guard</AssumedRoleId></AssumedRoleUser>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider found</Message></Error></ErrorResponse>"""


class Sts:
    """`given` counts how often it handed out credentials, which last `minutes`."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.url = ""
        self.given = 0
        self.minutes = 60
        self.session_token = ""
        self._access_key = access_key
        self._secret_key = secret_key

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.post()
        is_right = (asked.get("Action"), asked.get("WebIdentityToken"), asked.get("RoleArn")) == (
            "AssumeRoleWithWebIdentity",
            TOKEN,
            ROLE,
        )
        if not is_right or "Authorization" in request.headers:
            return web.Response(status=400, text=_DENIED, content_type="text/xml")
        self.given += 1
        text = _GIVEN.format(
            access_key=self._access_key,
            secret_key=self._secret_key,
            session_token=self.session_token,
            expires=rfc3339_seconds(datetime.now(UTC) + timedelta(minutes=self.minutes)),
            role=ROLE,
        )
        return web.Response(text=text, content_type="text/xml")

    @classmethod
    @asynccontextmanager
    async def start(cls, access_key: str, secret_key: str) -> AsyncGenerator[Sts]:
        sts = cls(access_key, secret_key)
        app = web.Application()
        app.router.add_post("/", sts.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            sts.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield sts
        finally:
            await runner.cleanup()
