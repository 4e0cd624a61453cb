"""Starting the app: the command line of Streamlit, its theme, what it may and may not do."""

import ipaddress
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from fftag.app.settings import FOLDER, VARIABLE, Settings
from fftag.base.errors import FftagError
from fftag.base.progress import say

MAIN = Path(__file__).parent / "pages" / "main.py"
LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
PORT = 8501
MOST_UPLOADED = 64  # MiB of one file; `fftag.app.uploads` counts all together

ROSE, BLUE, OCHRE, GREEN, VIOLET = "#b3435f", "#2f6f8f", "#d9963a", "#5b7f4b", "#7a5c99"
THEME = {
    "base": "light",
    "primaryColor": "#a13c55",  # ROSE, darker: read on its own pale ground
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f8f6f4",
    "textColor": "#0f1115",
    "linkColor": "#8f2f49",
    "redColor": ROSE,
    "redTextColor": "#8f2f49",
    "redBackgroundColor": "#fbf1f3",
    "blueColor": BLUE,
    "blueTextColor": "#24566f",
    "blueBackgroundColor": "#eef5f8",
    "greenColor": GREEN,
    "greenTextColor": "#43603a",
    "greenBackgroundColor": "#f1f6ee",
    "orangeColor": OCHRE,
    "orangeTextColor": "#7d5311",
    "yellowTextColor": "#6d5a11",
    "yellowBackgroundColor": "#fcf7e8",
    "grayTextColor": "#5d626c",
    "borderColor": "#dcd8d4",
    "baseRadius": "0.5rem",
    "showWidgetBorder": "true",
    "showSidebarBorder": "true",
    "headingFontWeights": "650",
    "headingFontSizes": '["2rem", "1.35rem", "1.2rem", "1.1rem", "1rem", "1rem"]',
    "paddingTop": "2rem",
}
"""In line with `fftag.base.plots`; the colours of text reach a contrast of 4.5 on their grounds."""

OPTIONS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": str(MOST_UPLOADED),
    "server.showEmailPrompt": "false",
    "server.enableXsrfProtection": "true",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.disableDataExport": "true",  # a browser would write formulas into its CSV as they are
    "client.showErrorDetails": "none",
    "runner.magicEnabled": "false",
}


def start(settings: Settings, host: str = LOOPBACK, port: int = PORT) -> None:
    """Becomes the app: this process goes on as Streamlit, until it is ended.

    Args:
        settings: what to show.
        host: address to listen on.
        port: likewise.

    Raises:
        FftagError: Streamlit is not installed.
    """
    if find_spec("streamlit") is None:
        raise FftagError("the app needs Streamlit: pip install 'fftag[app]'")
    if not is_loopback(host):
        say(
            f"fftag: {host} can be reached from other machines, and the app asks nobody for a "
            "password: whoever reaches it sees the photos and may correct tags"
        )
    say(f"the app is at http://{host}:{port} (Ctrl-C ends it)")
    command = [sys.executable, *streamlit_arguments(host, port)]
    environment = os.environ | {VARIABLE: settings.to_json(), FOLDER: str(Path.cwd())}
    os.chdir(MAIN.parent)  # Streamlit takes settings and secrets from the working folder
    os.execve(sys.executable, command, environment)  # noqa: S606


def streamlit_arguments(host: str, port: int) -> list[str]:
    """What Python is started with."""
    options = OPTIONS | {f"theme.{name}": value for name, value in THEME.items()}
    options |= {"server.address": host, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in options.items()]
    if is_loopback(host):
        # A page of another site whose name is made to lead here is turned away.
        flags += [f"--server.allowedHosts={name}" for name in LOOPBACK_NAMES]
    return ["-P", "-m", "streamlit", "run", str(MAIN), *flags]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
