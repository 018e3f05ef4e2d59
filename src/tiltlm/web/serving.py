"""The page on an address of this machine; shared with others only behind a password."""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from tiltlm.errors import ConfigError, InterruptedRun
from tiltlm.web.heap import share_heaps

PORT = 7860
"""Where the page is, unless another port is asked for."""

USER = "tiltlm"
"""Who has to log in, where there is a password."""


def serve(
    folders: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    share: bool = False,
    password: str | None = None,
    language: str = "en",
    opened: Callable[[str], None] | None = None,
) -> None:
    """Serve the page until the process is interrupted.

    Args:
        folders: that the page may read; what it makes goes into the first.
        host: address to listen on; any but a loopback address needs a password.
        port: to listen on.
        share: whether to ask gradio for a public address; it needs a password too.
        password: that visitors have to know, with the user name ``tiltlm``.
        language: in which the page opens.
        opened: told the page's address once it answers.

    Raises:
        ConfigError: gradio is not installed, others could come in without a password, the port is
            taken, or a folder is none.
        InterruptedRun: Ctrl-C or SIGTERM closed the page.
    """
    check_open_to_none(host, share=share, password=password)
    if find_spec("gradio") is None:
        raise ConfigError(
            "the page needs the package gradio", fix="pip install 'tiltlm[ui]' gets it"
        )
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    share_heaps()
    from tiltlm.web.page import build_page

    page = build_page(folders, language)
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, share=share, head=_head(), theme=_theme(),
            auth=None if password is None else (USER, password), prevent_thread_lock=True,
            quiet=True, footer_links=[], show_error=False, ssr_mode=False, pwa=False,
        )  # fmt: skip
    except OSError:
        raise ConfigError(
            f"port {port} is taken, perhaps by another tiltlm ui",
            where="--port",
            fix="close that one, or name another --port",
        ) from None
    try:
        if opened is not None:
            opened(address)
        threading.Event().wait()
    except KeyboardInterrupt as interrupt:
        raise _closed(folders[0]) from interrupt
    finally:
        page.close(verbose=False)


def _head() -> str:
    """The style sheets, in the head: given one, gradio leaves out its rules for the dark."""
    look = files("tiltlm")
    colours = (look / "report" / "templates" / "colours.css").read_text(encoding="utf-8")
    ours = (look / "web" / "page.css").read_text(encoding="utf-8")
    return f"<style>{colours}{ours}</style>"


def _closed(folder: Path) -> InterruptedRun:
    """What is said of a page that was closed."""
    return InterruptedRun(
        "the page is closed; what it made is kept",
        where=str(folder),
        fix="tiltlm ui opens it again",
    )


def check_open_to_none(host: str, *, share: bool, password: str | None) -> None:
    """Refuse to let others in without a password.

    Args:
        host: address to listen on.
        share: whether a public address is asked for.
        password: that visitors have to know; None for none.

    Raises:
        ConfigError: others could come in, and there is no password, or a short one.
    """
    if not share and _is_loopback(host):
        return
    if password is None:
        raise ConfigError(
            "others could come in: whoever reaches the page can use this machine's models and fill "
            "its disk",
            where="--share" if share else f"--host {host}",
            fix="give --password, or leave it out to stay on this machine",
        )
    if len(password) < 8:
        raise ConfigError(
            f"a password of {len(password)} characters is soon guessed",
            where="--password",
            fix="take at least 8",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _theme() -> object:
    """Gradio's base with our colours, and with fonts that are there already."""
    import gradio as gr

    sans = ["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
    theme = gr.themes.Base(font=sans, font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"])
    ours: dict[str, str] = {}
    for name, colour in {
        "body_background_fill": "paper", "background_fill_primary": "paper",
        "background_fill_secondary": "soft", "block_background_fill": "paper",
        "input_background_fill": "paper", "body_text_color": "ink",
        "body_text_color_subdued": "muted", "block_info_text_color": "muted",
        "block_label_text_color": "muted", "block_title_text_color": "ink",
        "border_color_primary": "line", "input_border_color": "control",
        "input_placeholder_color": "muted", "button_primary_background_fill": "after",
        "button_primary_background_fill_hover": "after", "button_primary_text_color": "paper",
        "button_secondary_background_fill": "soft", "button_secondary_text_color": "ink",
        "button_secondary_background_fill_hover": "line",
        "button_cancel_background_fill": "paper", "button_cancel_text_color": "after",
        "button_cancel_border_color": "after", "slider_color": "after",
        "checkbox_background_color_selected": "after", "checkbox_label_text_color": "ink",
        "checkbox_label_background_fill": "paper", "checkbox_border_color": "control",
        "checkbox_label_text_color_selected": "ink", "checkbox_border_color_selected": "after",
        "checkbox_label_background_fill_selected": "mark", "link_text_color": "blue",
        "color_accent_soft": "mark",
    }.items():  # fmt: skip
        # The style sheet has its own colours for the dark, so both are the same name.
        ours |= {name: f"var(--{colour})", f"{name}_dark": f"var(--{colour})"}
    return theme.set(color_accent="var(--after)", **ours)
