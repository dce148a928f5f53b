"""Drive a headless Chromium through its debugging pipe, without a driver package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)


class Chromium:
    """A browser process, which many tests share.

    Messages go through file descriptors 3 and 4, as JSON that ends in a zero byte.
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()

        def connect_pipes() -> None:
            # Copies first: either pipe may already be descriptor 3 or 4.
            a, b = os.dup(child_in), os.dup(child_out)
            os.dup2(a, 3)
            os.dup2(b, 4)

        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            [CHROMIUM, *flags],
            preexec_fn=connect_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_in)
        os.close(child_out)
        self._last_id, self._buffer = 0, b""

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command, to a page where its session is given, and return the result."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                chunk = os.read(self._in, 1 << 16)
                assert chunk, "the browser has exited"
                self._buffer += chunk
            line, _, self._buffer = self._buffer.partition(b"\0")
            reply = json.loads(line)
            if reply.get("id") == self._last_id:
                assert "error" not in reply, reply
                return dict(reply["result"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


class Browser:
    """One page in a profile of its own: no storage, history or permission of another test."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._context = chromium.call("Target.createBrowserContext")["browserContextId"]
        target = chromium.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )["targetId"]
        self._session = chromium.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self._call("Page.enable")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._chromium.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str, *, click: bool = False) -> Any:
        """Return the value of a JavaScript expression.

        ``click``: as if the user had just clicked, which playing and copying need.
        """
        result = self._call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=click,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < deadline, (
                f"still false: {script}\n{self.run('document.body.innerText.slice(0, 500)')}"
            )
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release a key in the element that has the focus."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"Enter": 13, "Escape": 27}[key]
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the page, in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def close(self) -> None:
        self._chromium.call("Target.disposeBrowserContext", browserContextId=self._context)
