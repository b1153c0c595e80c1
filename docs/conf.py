"""Builds the documentation: `python -m sphinx -W --keep-going docs docs/_build`."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "logpool"
copyright = "the logpool contributors"  # Sphinx's own name.
version = release = version_of("logpool-executor")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "logpool"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["names.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"  # Docstrings are written with single backticks.
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # The signature has them as they are written.
autodoc_mock_imports = ["cloudpickle", "dask", "distributed", "tornado"]
autoclass_content = "both"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def mark_examples(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mark what is indented below a line that ends with a colon as code, as readers of a docstring take it."""
    for number in range(len(lines) - 2):
        line, gap, example = lines[number : number + 3]
        if line.endswith(":") and not line.endswith("::") and not gap and example.startswith("    "):
            lines[number] = f"{line}:"


def setup(app: object) -> None:
    """Connect what isn't configuration."""
    app.connect("autodoc-process-docstring", mark_examples, priority=0)  # type: ignore[attr-defined]
