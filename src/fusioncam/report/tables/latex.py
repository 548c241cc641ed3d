"""Write pages as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from fusioncam.report.tables.model import Cell, Page, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "\N{MINUS SIGN}": r"$-$",
    "\N{EN DASH}": "--",
    "†": r"$^{\dagger}$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "…": r"\dots{}",
}


def latex(page: Page) -> str:
    """Write a page as LaTeX tables, which need the packages ``booktabs`` and ``graphicx``."""
    head = "% needs \\usepackage{booktabs} and \\usepackage{graphicx}"
    return "\n\n".join([head, *(latex_table(page, table) for table in page.tables)]) + "\n"


def latex_table(page: Page, table: Table) -> str:
    """Write one table with its caption above and all notes below, no wider than the page."""
    body, footer = ([latex_row(name, cells) for name, cells in rows] for rows in (table.body, table.footer))
    rule = [r"\midrule"] if body and footer else []
    notes = (escape_latex(note) for note in chain(table.notes, page.notes))
    return "\n".join(
        [
            r"\begin{table*}[t]",
            r"\centering",
            rf"\caption{{{escape_latex(table.title)}}}",
            rf"\label{{tab:{label(page.name, table.key)}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape_latex, table.header)) + r" \\",
            r"\midrule",
            *body,
            *rule,
            *footer,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\smallskip",
            rf"\begin{{minipage}}{{\textwidth}}\footnotesize {' '.join(notes)}\end{{minipage}}",
            r"\end{table*}",
        ]
    )


def latex_row(name: str, cells: Iterable[Cell]) -> str:
    """Write one row."""
    return " & ".join([escape_latex(name), *map(latex_cell, cells)]) + r" \\"


def latex_cell(cell: Cell) -> str:
    r"""Write a cell: number, dagger, interval.

    >>> print(latex_cell(Cell("0.50", "[0.25, 0.75]", marked=True, style="bold")))
    \textbf{0.50}$^{\dagger}$ {\scriptsize [0.25, 0.75]}
    """
    number = escape_latex(cell.text)
    if cell.style:
        number = rf"\text{'bf' if cell.style == 'bold' else 'it'}{{{number}}}"
    bounds = rf" {{\scriptsize {escape_latex(cell.interval)}}}" if cell.interval else ""
    return f"{number}{escape_latex('†') if cell.marked else ''}{bounds}"


def escape_latex(text: str) -> str:
    r"""Escape the characters that LaTeX would interpret.

    >>> print(escape_latex("a_b & 95 % {c}"))
    a\_b \& 95 \% \{c\}
    """
    return "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))


def label(*words: str) -> str:
    """Make the name of a label from letters, digits and hyphens.

    >>> label("paired", "road(steps=9) lite0")
    'paired-road-steps-9-lite0'
    """
    return "-".join(filter(None, re.split(r"[^A-Za-z0-9]+", " ".join(words))))
