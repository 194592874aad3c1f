"""A process that draws charts, since the drawing library blocks signals and threads for seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pokeladder.errors import DrawingError
from pokeladder.system.processes import Child, Parent

Kind = Literal["png", "svg", "pdf"]
# Points an inch, the unit of a chart's size.
PPI = 72


class Drawer:
    """The drawing process; a context manager, which ends it."""

    def __init__(self) -> None:
        self._process = Child("pokeladder.report.drawing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.end()

    def draw(self, spec: Mapping[str, Any], kind: Kind, scale: float = 1) -> bytes:
        """The picture of a Vega-Lite specification as the content of a file.

        Args:
            scale: scale of PNG and PDF.

        Raises:
            DrawingError: the chart cannot be drawn.
        """
        return self._answer("draw", dict(spec), kind, scale)

    def script(self) -> str:
        """JavaScript that defines ``window.vegaEmbed``.

        Raises:
            DrawingError: the script cannot be made.
        """
        return self._answer("script").decode()

    def _answer(self, *request: Any) -> bytes:
        try:
            self._process.send(request)
            answer = self._process.receive()
        except EOFError as error:
            status = self._process.status()
            raise DrawingError(f"a chart cannot be drawn: its process ended with exit status {status}") from error
        if isinstance(answer, DrawingError):
            raise answer
        return bytes(answer)


def main() -> None:
    parent = Parent()
    for request in parent.messages():
        try:
            answer: bytes | DrawingError = _drawn(*request)
        except ValueError as error:
            answer = DrawingError(f"a chart cannot be drawn: {error}")
        parent.send(answer)


def _drawn(what: str, *arguments: Any) -> bytes:
    import vl_convert

    if what == "script":
        script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        return script.encode()
    spec, kind, scale = arguments
    # https://vega.github.io/schema/vega-lite/v6.1.0.json
    version = "_".join(spec["$schema"].rpartition("/")[2].split(".")[:2])
    if kind == "svg":
        svg: str = vl_convert.vegalite_to_svg(spec, vl_version=version)
        return svg.encode()
    picture: bytes = (
        vl_convert.vegalite_to_png(spec, vl_version=version, scale=scale, ppi=PPI)
        if kind == "png"
        else vl_convert.vegalite_to_pdf(spec, vl_version=version, scale=scale)
    )
    return picture
