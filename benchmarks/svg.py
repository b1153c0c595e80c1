"""A few shapes in SVG, enough for a plain picture."""

from __future__ import annotations

from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"

INK = "#1f2933"
QUIET = "#6b7785"
RULE = "#e4e8ec"


class Canvas:
    """A picture on a light card, which pages with a dark background show as it is."""

    def __init__(self, width: int, height: int, title: str) -> None:
        """Begins a picture.

        Args:
            width: In pixels.
            height: In pixels.
            title: Read to those who can't see it.
        """
        self._shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="{FONT}">',
            f"<title>{escape(title)}</title>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="#ffffff" stroke="{RULE}"/>',
        ]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        color: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Writes.

        Args:
            x: Where the anchor is.
            y: The base line.
            text: One line.
            size: Of the letters, in pixels.
            color: Of the letters.
            anchor: start, middle or end.
            bold: Whether it stands out.
        """
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}>'
            f"{escape(text)}</text>"
        )

    def bar(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Draws a rectangle.

        Args:
            x: Left.
            y: Top.
            width: To the right.
            height: Down.
            color: Of its area.
        """
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2" fill="{color}"/>'
        )

    def line(self, points: list[tuple[float, float]], color: str, *, width: float = 1, dashed: bool = False) -> None:
        """Draws a line.

        Args:
            points: Where it leads.
            color: Of the line.
            width: In pixels.
            dashed: Whether it is interrupted.
        """
        dashes = ' stroke-dasharray="4 4"' if dashed else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}" '
            f'stroke-linejoin="round"{dashes}/>'
        )

    def dot(self, x: float, y: float, color: str) -> None:
        """Draws a point of a line.

        Args:
            x: Its middle.
            y: Its middle.
            color: Of its area.
        """
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>')

    def finish(self) -> str:
        """Returns the picture."""
        return "\n".join([*self._shapes, "</svg>", ""])
