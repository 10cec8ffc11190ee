"""Headless Chromium for tests, driven by its DevTools protocol over a pipe.

Pages are opened at the width of a screen or a phone, and used by a real mouse
or finger. What the console says, and what a page asks the network for, is kept.
Where there is no Chromium tests are skipped, unless MAGVIT3D_NEEDS_CHROMIUM is
set: then they fail.
"""

import base64
import fcntl
import io
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

_TIMEOUT_S = 60  # Of an answer; the machine may be busy.
_FLAGS = (
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-pipe",
)


def require_chromium() -> str:
  """Returns where Chromium is; skips or fails the test without it."""
  path = shutil.which("chromium")
  if path:
    return path
  if os.environ.get("MAGVIT3D_NEEDS_CHROMIUM"):
    pytest.fail(
      "MAGVIT3D_NEEDS_CHROMIUM is set, and no program chromium is in PATH: "
      "install it (Debian: apt-get install chromium)."
    )
  pytest.skip("Chromium is missing.")


class Browser:
  """A Chromium process; `with` ends it."""

  def __init__(self, folder: pathlib.Path):
    """Starts it, with a profile of its own in `folder`."""
    chromium = require_chromium()
    # Chromium reads from 3 and writes to 4, which bash makes of these.
    ours = _far_pipe(), _far_pipe()
    (commands, self._to), (self._from, answers) = ours
    self._process = subprocess.Popen(
      [
        "bash",
        "-c",
        f'exec "$@" 3<&{commands} 4>&{answers} {commands}<&- {answers}>&-',
        "bash",
        chromium,
        *_FLAGS,
        f"--user-data-dir={folder / 'profile'}",
      ],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      pass_fds=(commands, answers),
      start_new_session=True,
    )
    os.close(commands)
    os.close(answers)
    self._rest, self._number = b"", 0
    self.events = []

  def __enter__(self) -> "Browser":
    return self

  def __exit__(self, *_) -> None:
    try:
      self.send("Browser.close")
      self._process.wait(10)
    except (OSError, AssertionError, subprocess.TimeoutExpired):
      os.killpg(self._process.pid, signal.SIGKILL)
      self._process.wait()
    finally:
      os.close(self._to)
      os.close(self._from)

  def open(self, path: pathlib.Path, width: int, place: str = "") -> "Page":
    """Opens a file in a window of this width; `with` closes it again."""
    return Page(self, path, width, place)

  def send(self, method: str, session: str | None = None, **params) -> dict:
    """Returns the answer to a command; events meanwhile go to `events`."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": params}
    if session:
      message["sessionId"] = session
    os.write(self._to, json.dumps(message).encode() + b"\0")
    while True:
      answer = self._read()
      if answer.get("id") == self._number:
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]
      self.events.append(answer)

  def wait_for(self, method: str, session: str) -> None:
    """Waits for an event that comes, or has come."""
    while not any(
      event.get("method") == method and event.get("sessionId") == session
      for event in self.events
    ):
      self.events.append(self._read())

  def _read(self) -> dict:
    end = time.monotonic() + _TIMEOUT_S
    while b"\0" not in self._rest:
      ready, _, _ = select.select([self._from], [], [], end - time.monotonic())
      assert ready, f"Chromium has not answered for {_TIMEOUT_S} s."
      data = os.read(self._from, 1 << 20)
      assert data, "Chromium has ended."
      self._rest += data
    message, _, self._rest = self._rest.partition(b"\0")
    return json.loads(message)


class Page:
  """A page in a browser; `with` closes it."""

  def __init__(
    self, browser: Browser, path: pathlib.Path, width: int, place: str
  ):
    self._browser = browser
    browser.events.clear()
    self._target = browser.send("Target.createTarget", url="about:blank")[
      "targetId"
    ]
    self._session = browser.send(
      "Target.attachToTarget", targetId=self._target, flatten=True
    )["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self._send(f"{domain}.enable")
    is_phone = width < 600
    self._send(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=844 if is_phone else 900,
      deviceScaleFactor=1,
      mobile=is_phone,
    )
    if is_phone:
      self._send("Emulation.setTouchEmulationEnabled", enabled=True)
    self._url = path.resolve().as_uri() + place
    self._send("Page.navigate", url=self._url)
    browser.wait_for("Page.loadEventFired", self._session)

  def __enter__(self) -> "Page":
    return self

  def __exit__(self, *_) -> None:
    self._browser.send("Target.closeTarget", targetId=self._target)

  def evaluate(self, script: str) -> object:
    """Returns the value of an expression; promises are waited for."""
    found = self._send(
      "Runtime.evaluate",
      expression=script,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    return found["result"].get("value")

  def draw(self) -> None:
    """Waits until what was asked for is drawn."""
    self.evaluate(
      "new Promise((done) => requestAnimationFrame("
      "() => requestAnimationFrame(done)))"
    )

  def wait_until(self, condition: str) -> None:
    """Waits until an expression holds."""
    end = time.monotonic() + _TIMEOUT_S
    while not self.evaluate(condition):
      assert time.monotonic() < end, f"{condition} has not come true."
      self.draw()

  def drag(self, selector: str, dx: float, dy: float) -> None:
    """Drags from the middle of an element, by mouse."""
    x, y = self._middle(selector)

    def move(kind, share, **more):
      self._send(
        "Input.dispatchMouseEvent",
        type=kind,
        x=x + share * dx,
        y=y + share * dy,
        **more,
      )

    move("mousePressed", 0, button="left", buttons=1, clickCount=1)
    for share in (0.5, 1):
      move("mouseMoved", share, button="left", buttons=1)
    move("mouseReleased", 1, button="left", clickCount=1)
    self.draw()

  def wheel(self, selector: str, delta: float) -> None:
    """Turns the mouse wheel over an element."""
    x, y = self._middle(selector)
    self._send(
      "Input.dispatchMouseEvent",
      type="mouseWheel",
      x=x,
      y=y,
      deltaX=0,
      deltaY=delta,
    )
    self.draw()

  def touch(self, selector: str, starts: list, ends: list) -> None:
    """Moves fingers; places are from the middle of an element."""
    x, y = self._middle(selector)

    def put(kind, fingers):
      points = [
        {"x": x + right, "y": y + down, "id": number}
        for number, (right, down) in enumerate(fingers)
      ]
      self._send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    put("touchStart", starts)
    put("touchMove", ends)
    put("touchEnd", [])
    self.draw()

  def pixels(self, selector: str, number: int = 0) -> np.ndarray:
    """Returns what the canvas of this number shows, uint8 (h, w, 4)."""
    uri = self.evaluate(
      f"document.querySelectorAll({selector!r})[{number}].toDataURL()"
    )
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
      return np.asarray(image)

  def screenshot(self, path: pathlib.Path, is_full: bool = True) -> None:
    """Writes a PNG of the whole page, or of what the window shows."""
    found = self._send("Page.captureScreenshot", captureBeyondViewport=is_full)
    if is_full:
      size = self._send("Page.getLayoutMetrics")["cssContentSize"]
      found = self._send(
        "Page.captureScreenshot",
        captureBeyondViewport=True,
        clip={"scale": 1, **size},
      )
    path.write_bytes(base64.b64decode(found["data"]))

  @property
  def sideways(self) -> int:
    """By how many pixels the page can be scrolled sideways."""
    return self.evaluate(
      "document.documentElement.scrollWidth - "
      "document.documentElement.clientWidth"
    )

  @property
  def problems(self) -> list[str]:
    """What the console has said, and what came from outside the file."""
    self.draw()
    found = []
    for event in self._browser.events:
      params = event.get("params", {})
      match event.get("method"):
        case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
          found.append(json.dumps(params))
        case "Log.entryAdded":
          found.append(params["entry"]["text"])
        case "Network.requestWillBeSent":
          url = params["request"]["url"]
          if url != self._url.split("#")[0] and not url.startswith("data:"):
            found.append(f"asks for {url}")
    return found

  def _middle(self, selector: str) -> list[float]:
    return self.evaluate(
      f"(() => {{ const element = document.querySelector({selector!r}); "
      "element.scrollIntoView({block: 'center', behavior: 'instant'}); "
      "const box = element.getBoundingClientRect(); "
      "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )

  def _send(self, method: str, **params) -> dict:
    return self._browser.send(method, self._session, **params)


def _far_pipe() -> tuple[int, int]:
  """A pipe whose ends are neither 3 nor 4."""
  ends = os.pipe()
  far = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
  for end in ends:
    os.close(end)
  return far
