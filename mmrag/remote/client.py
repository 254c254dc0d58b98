"""Send JSON to a server and read its answer, again where that can help."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmrag.core.errors import ConfigError, ModelError, Offline
from mmrag.core.lazy import require
from mmrag.remote.options import ServerOptions
from mmrag.remote.retry import Pauses, asked_pause, may_pass

_THIS_REQUEST = frozenset({400, 413, 422})
_FIRST_TRIES = 2
"""How often a server that never answered is called: whoever forgot to start it should not wait a minute."""
_SHOWN = 300


class Refused(ModelError):
    """The server did not take this request; another one it may take."""


class Client:
    """One server; threads may share it.

    Args:
        options: Where it is.
        seed: Of the random part of pauses.
    """

    def __init__(self, options: ServerOptions, *, seed: int = 0) -> None:
        self.options = options
        self._pauses = Pauses(options, seed=seed)
        self._opening = threading.Lock()
        self._http: Any = None
        self._key = ""
        self._answered = False

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        stop: threading.Event | None = None,
        tries: int | None = None,
    ) -> dict[str, Any]:
        """Send a JSON object and return the one that comes back.

        Args:
            path: What follows the server's address, such as `embeddings`.
            body: What is sent.
            stop: When it is set, no pause is waited for any more.
            tries: How often it is sent at most; None as the options say.

        Raises:
            Refused: The server takes other requests, but not this one.
            Offline: The server cannot be reached, or stays busy.
            ModelError: It refuses us: the key, the model's name, the address.
            ConfigError: The key cannot be read.
        """
        http = self._opened()
        stop = stop or threading.Event()
        # Escaped JSON is plain ASCII: it can hold whatever a broken file put into a text.
        content = json.dumps(body).encode()
        sent = 0
        while True:
            sent += 1
            failed, pause = self._once(http, path, content)
            if isinstance(failed, dict):
                return failed
            most = tries or self.options.tries
            if pause is None or sent >= (most if self._answered else min(most, _FIRST_TRIES)):
                raise failed
            if stop.wait(self._pauses.after(sent, pause or None)):
                raise failed

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._opening:
            if self._http is not None:
                self._http.close()
            self._http = None

    def _once(self, http: Any, path: str, content: bytes) -> tuple[dict[str, Any] | ModelError, float | None]:
        """Send it once: the answer, or the error and its pause (0 for our own, None for no further try)."""
        httpx = _library()
        try:
            response = http.post(path, content=content)
            text = response.text
        except httpx.TimeoutException:
            return self._silent(), 0.0
        except httpx.RequestError as error:
            return self._gone(str(error) or type(error).__name__), 0.0
        self._answered = True
        data = _object(text)
        if response.is_success:
            if data is None:
                said = f"The server answered something that is no JSON object: {self._hidden(text)!r}."
                return ModelError(said, fix="Check that `url` leads to an interface like OpenAI's."), None
            return data, None
        return self._declined(response, data, text)

    def _declined(
        self, response: Any, data: dict[str, Any] | None, text: str
    ) -> tuple[ModelError, float | None]:
        status = int(response.status_code)
        code, message = _complaint(data, text)
        said = f"The server answered {status}: {self._hidden(message) or response.reason_phrase}"
        said = said.rstrip(".") + "."
        if status in (401, 403):
            fix = "Check the key in `key_file`." if self.options.key_file else "Give the recipe a `key_file`."
            return ModelError(said, fix=fix), None
        if not may_pass(status, code):
            if status in _THIS_REQUEST:
                return Refused(said, fix="Change the input, or the recipe's parameters of the request."), None
            fix = f"Check `url` ({self.options.url}) and `model` in the recipe{self._pull()}."
            return ModelError(said, fix=fix), None
        asked = asked_pause(response.headers)
        if asked is not None and asked > self.options.longest_wait_s:
            return Offline(said, fix=f"It wants to be left alone for {asked:.0f} s: try again then."), None
        if status == 500:
            # Some servers fail on one input, and say so with 500.
            return Refused(said, fix="Look into the server's log."), asked or 0.0
        fix = "Try again later, or lower `concurrency` and raise `tries` in the recipe."
        return Offline(said, fix=fix), asked or 0.0

    def _silent(self) -> Offline:
        return Offline(
            f"{self.options.url} did not answer within {self.options.timeout_s:g} s.",
            fix="Raise `timeout_s`, or send less at once: `batch_items`, `concurrency`.",
        )

    def _gone(self, why: str) -> Offline:
        start = "Start the server (for example `ollama serve`, or `vllm serve MODEL`), or correct"
        fix = start if self.options.is_here else "Check the network, and"
        return Offline(f"{self.options.url} cannot be reached: {why}.", fix=f"{fix} `url` in the recipe.")

    def _pull(self) -> str:
        ollama = urlsplit(self.options.url).port == 11434
        return "; Ollama fetches a model by: ollama pull MODEL" if ollama else ""

    def _hidden(self, text: str) -> str:
        # Before it is cut: half a key is no key to look for.
        return (text.replace(self._key, "***") if self._key else text)[:_SHOWN]

    def _opened(self) -> Any:
        with self._opening:
            if self._http is None:
                httpx = _library()
                headers = {"Content-Type": "application/json"}
                if self.options.key_file is not None:
                    self._key = _read_key(Path(self.options.key_file).expanduser())
                    headers["Authorization"] = f"Bearer {self._key}"
                self._http = httpx.Client(
                    base_url=self.options.url.rstrip("/") + "/",
                    headers=headers,
                    timeout=self.options.timeout_s,
                    limits=httpx.Limits(max_connections=self.options.concurrency),
                    # Reading the machine's certificates takes longer than a request.
                    verify=self.options.url.startswith("https:"),
                    # A proxy of the environment has no way to this machine's own server.
                    trust_env=not self.options.is_here,
                )
            return self._http


def _library() -> Any:
    return require("httpx2", extra="remote", feature="A model on a server")


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"The API key cannot be read: {error.strerror}.", fix="Write it into this file.", where=str(path)
        ) from error
    except UnicodeDecodeError:
        key = ""
    if not key.isprintable() or not key or " " in key:
        raise ConfigError(
            "The file holds no API key.", fix="Write the key into it, and nothing else.", where=str(path)
        )
    return key


def _object(text: str) -> dict[str, Any] | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _complaint(data: dict[str, Any] | None, text: str) -> tuple[str, str]:
    """Return the code and the message of an error, wherever a server puts them."""
    found: Any = data.get("error", data) if data else text
    if isinstance(found, dict):
        message = found.get("message") or found.get("detail") or json.dumps(found)
        return str(found.get("code") or ""), str(message)
    return "", str(found)
