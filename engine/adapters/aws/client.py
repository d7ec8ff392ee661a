"""One call to AWS: whatever goes wrong becomes an `AwsError` that says in words what it is.

What is read is asked again by botocore, three times at the most and with its pauses; what is
written goes out once, since only a new look says whether to do it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import exceptions
from pydantic import SecretStr

from engine.adapters.aws.settings import AwsConfig
from engine.config.secrets import learn
from engine.security.foreign_json import whole

READ_ATTEMPTS = 3
AT_ONCE = 10
"""Connections to one of AWS's services."""


class Obstacle(StrEnum):
    """What sort of thing went wrong."""

    CREDENTIALS = "credentials"
    EXPIRED = "expired"
    RIGHTS = "rights"
    CONFIGURATION = "configuration"
    THROTTLED = "throttled"
    SILENT = "silent"
    REFUSED = "refused"
    FAULT = "fault"


CODES = {
    "InvalidClientTokenId": Obstacle.CREDENTIALS,
    "UnrecognizedClientException": Obstacle.CREDENTIALS,
    "SignatureDoesNotMatch": Obstacle.CREDENTIALS,
    "InvalidSignatureException": Obstacle.CREDENTIALS,
    "IncompleteSignature": Obstacle.CREDENTIALS,
    "MissingAuthenticationToken": Obstacle.CREDENTIALS,
    "MissingAuthenticationTokenException": Obstacle.CREDENTIALS,
    "AuthFailure": Obstacle.CREDENTIALS,
    "ExpiredToken": Obstacle.EXPIRED,
    "ExpiredTokenException": Obstacle.EXPIRED,
    "RequestExpired": Obstacle.EXPIRED,
    "AccessDenied": Obstacle.RIGHTS,
    "AccessDeniedException": Obstacle.RIGHTS,
    "UnauthorizedOperation": Obstacle.RIGHTS,
    "OptInRequired": Obstacle.RIGHTS,
    "Throttling": Obstacle.THROTTLED,
    "ThrottlingException": Obstacle.THROTTLED,
    "ThrottledException": Obstacle.THROTTLED,
    "RequestThrottled": Obstacle.THROTTLED,
    "RequestThrottledException": Obstacle.THROTTLED,
    "RequestLimitExceeded": Obstacle.THROTTLED,
    "TooManyRequestsException": Obstacle.THROTTLED,
    "SlowDown": Obstacle.THROTTLED,
    # Somebody else is at it just now.
    "ResourceContention": Obstacle.THROTTLED,
    "ScalingActivityInProgress": Obstacle.THROTTLED,
}
"""AWS's own words for it; what is not here is refused, or a fault of the server's (5xx)."""

_OF_CREDENTIALS = (
    exceptions.NoCredentialsError, exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError,
    exceptions.UnauthorizedSSOTokenError, exceptions.TokenRetrievalError,
)  # fmt: skip
_OF_CONFIGURATION = (
    exceptions.ProfileNotFound, exceptions.ConfigParseError, exceptions.NoRegionError,
    exceptions.InvalidConfigError, exceptions.UnknownEndpointError,
    exceptions.InvalidRegionError, exceptions.ConfigNotFound,
)  # fmt: skip


class AwsError(Exception):
    """AWS refused, did not answer, or could not be asked."""

    def __init__(self, message: str, obstacle: Obstacle, code: str = "") -> None:
        super().__init__(message)
        self.obstacle = obstacle
        self.code = code

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a moment later."""
        return self.obstacle in (Obstacle.THROTTLED, Obstacle.SILENT, Obstacle.FAULT)


class AwsClients:
    """The services of AWS, asked as `config` says, with the credentials of the usual chain."""

    def __init__(self, config: AwsConfig) -> None:
        self.config = config
        self.calls: set[str] = set()
        """What was called, as a policy names it."""
        self._session: AioSession | None = None
        self._open: dict[tuple[str, bool], Any] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._learned = ("", "")

    async def open(self, services: Sequence[str]) -> None:
        """Have credentials, and know what these services are; raises AwsError.

        That takes a moment, which is not that of an answer.
        """
        try:
            for service in services:
                await self._client(service, False)
        except (exceptions.BotoCoreError, OSError, ValueError) as error:
            raise self._silence(error) from None

    async def ask(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, writes: bool = False
    ) -> dict[str, Any]:
        """What AWS answers; raises AwsError."""
        try:
            client = await self._client(service, writes)
            self.calls.add(f"{service}:{client.meta.method_to_api_mapping[operation]}")
            answer: dict[str, Any] = await getattr(client, operation)(**parameters)
        except exceptions.ClientError as error:
            raise _refusal(error) from None
        except (
            exceptions.BotoCoreError, OSError, TimeoutError, ValueError,
            RecursionError,  # of an answer that is nested too deep
        ) as error:  # fmt: skip
            raise self._silence(error) from None
        return answer

    async def listed(
        self, service: str, operation: str, parameters: Mapping[str, Any], key: str, *, token: str
    ) -> list[Any]:
        """All pages of a list; raises AwsError."""
        entries: list[Any] = []
        async for page in self._pages(service, operation, parameters, token):
            entries += page.get(key) or ()
        return entries

    async def _pages(
        self, service: str, operation: str, parameters: Mapping[str, Any], token: str
    ) -> AsyncIterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = await self.ask(service, operation, {**parameters, **more})
            yield page
            following = page.get(token)
            if not following or more == {token: following}:
                return
            more = {token: following}

    async def identity(self) -> str:
        """As whom AWS takes these credentials; raises AwsError."""
        return str((await self.ask("sts", "get_caller_identity", {})).get("Arn", ""))

    async def close(self) -> None:
        """Let go of the connections."""
        self._open.clear()
        await self._stack.aclose()

    async def _client(self, service: str, writes: bool) -> Any:
        async with self._lock:
            if self._session is None:
                self._session = AioSession(profile=self.config.profile)
            await self._learn(self._session)
            client = self._open.get((service, writes))
            if client is None:
                config = AioConfig(
                    connect_timeout=self.config.timeout_s, read_timeout=self.config.timeout_s,
                    retries={
                        "mode": "standard", "total_max_attempts": 1 if writes else READ_ATTEMPTS,
                    },
                    max_pool_connections=AT_ONCE,
                )  # fmt: skip
                client = await self._stack.enter_async_context(
                    self._session.create_client(
                        service, region_name=self.config.region,
                        endpoint_url=self.config.endpoint, config=config,
                    )
                )  # fmt: skip
                self._open[service, writes] = client
            return client

    async def _learn(self, session: AioSession) -> None:
        """Let nothing that this process writes show what its requests are signed with."""
        credentials = await session.get_credentials()
        if credentials is None:
            raise exceptions.NoCredentialsError
        frozen = await credentials.get_frozen_credentials()
        secrets = (frozen.secret_key or "", frozen.token or "")
        if secrets != self._learned:
            learn([SecretStr(secret) for secret in secrets if secret])
            self._learned = secrets

    def _silence(self, error: Exception) -> AwsError:
        if isinstance(error, _OF_CREDENTIALS):
            return AwsError(
                f"there are no credentials that can be used ({_short(error)})", Obstacle.CREDENTIALS
            )
        if isinstance(error, _OF_CONFIGURATION):
            return AwsError(_short(error), Obstacle.CONFIGURATION)
        where = self.config.endpoint or "AWS"
        if isinstance(error, exceptions.ConnectTimeoutError):
            why = "takes no connection"
        elif isinstance(error, exceptions.ReadTimeoutError | TimeoutError):
            why = "does not answer"
        else:
            why = _short(error)
        return AwsError(f"{where}: {why}", Obstacle.SILENT)


def _refusal(error: exceptions.ClientError) -> AwsError:
    said = error.response.get("Error", {})
    code, message = whole(str(said.get("Code", ""))), whole(str(said.get("Message", ""))).strip()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    obstacle = CODES.get(code)
    if obstacle is None:
        obstacle = Obstacle.FAULT if status >= 500 else Obstacle.REFUSED
    match obstacle:
        case Obstacle.CREDENTIALS:
            # Its message may repeat the request.
            words = f"the credentials are not accepted ({code}): are they of this account?"
        case Obstacle.EXPIRED:
            words = f"the credentials have expired ({code})"
        case Obstacle.THROTTLED:
            words = f"{error.operation_name}: AWS asks for fewer requests ({code})"
        case _:
            words = f"{error.operation_name}: {message[:300] or 'no reason'} ({code or status})"
    return AwsError(words, obstacle, code)


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
