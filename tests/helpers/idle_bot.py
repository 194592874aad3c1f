"""Logs in under the name that it is given, and then does nothing."""

from __future__ import annotations

import sys

from websockets.sync.client import connect

with connect(sys.argv[2], open_timeout=None) as websocket:
    for message in websocket:
        if str(message).startswith("|challstr|"):
            websocket.send(f"|/trn {sys.argv[1]},0,")
