"""An identity provider in small: publishes keys on the loopback interface, and signs tokens."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwk, jwt

NOW_S = 1_813_437_000.0


class Issuer:
    """Serves what `published` holds; `asked` counts how often somebody looked."""

    def __init__(self) -> None:
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.asked = 0
        self.status, self.headers = 200, {}
        self.published: bytes = self.set_of(self.key)
        issuer = self

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(issuer.published)))
                self.end_headers()
                self.wfile.write(issuer.published)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def set_of(*keys: jwk.Key, private: bool = False) -> bytes:
        return json.dumps({"keys": [key.as_dict(private=private) for key in keys]}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a usual token; None leaves one out."""
        claims = {
            "iss": self.url, "aud": "wedtwin", "sub": "pat", "roles": ["operator", "other-app"],
            "iat": NOW_S - 10.0, "exp": NOW_S + 300.0, "jti": "t1",
        }  # fmt: skip
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: jwk.Key | None = None,
              **changed: Any) -> str:  # fmt: skip
        head = {"alg": "RS256", "kid": "one"} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        algorithms = [head["alg"]]
        return jwt.encode(head, self.claims(**changed), key or self.key, algorithms)
