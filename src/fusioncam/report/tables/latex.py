"""Pages as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from fusioncam.report.tables.model import Cell, Page, Table

_LATEX = {
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


def markdown(page: Page) -> str:
    """Write a page as Markdown, its tables aligned in the source too."""
    blocks = [f"# {markdown_text(page.title)}"]
    for table in page.tables:
        blocks += [f"## {markdown_text(table.title)}", grid(table)]
        if table.notes:
            blocks.append(bullets(table.notes))
    return "\n\n".join([*blocks, "## Notes", bullets(page.notes)]) + "\n"


def grid(table: Table) -> str:
    """Write a table's grid; baselines stand below a row of dashes."""
    rows = [[markdown_text(name), *map(markdown_cell, cells)] for name, cells in table.body]
    apart = [[markdown_text(name), *map(markdown_cell, cells)] for name, cells in table.apart]
    header = [markdown_text(text) for text in table.header]
    rule = [["—"] * len(header)] if rows and apart else []
    lines = [header, *rows, *rule, *apart]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]
    under = "|".join(["", f" {'-' * widths[0]} ", *(f" {'-' * (width - 1)}: " for width in widths[1:]), ""])
    written = [aligned(line, widths) for line in lines]
    return "\n".join([written[0], under, *written[1:]])


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Write one line of a grid: names to the left, numbers to the right."""
    first, *others = zip(line, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return f"| {' | '.join(cells)} |"


def bullets(notes: Iterable[str]) -> str:
    """Write notes as a list."""
    return "\n".join(f"- {markdown_text(note)}" for note in notes)


def markdown_cell(cell: Cell) -> str:
    """Write a cell: number, mark, interval.

    >>> markdown_cell(Cell("0.50", "[0.25, 0.75]", marked=True, style="bold"))
    '**0.50**† [0.25, 0.75]'
    """
    stars = {"bold": "**", "italic": "*"}.get(cell.style, "")
    number = f"{stars}{markdown_text(cell.text)}{stars}{'†' if cell.marked else ''}"
    return f"{number} {cell.interval}".rstrip()


def markdown_text(text: str) -> str:
    """Escape what Markdown would read as its own.

    >>> print(markdown_text("a_b|c* _d_ p < 0.001, <b>"))
    a_b\\|c\\* \\_d\\_ p < 0.001, &lt;b>
    """
    text = re.sub(r"([\\|*`]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=\S)", "&lt;", text)


def latex(page: Page) -> str:
    """Write a page as LaTeX tables for the packages ``booktabs`` and ``graphicx``."""
    head = "% needs \\usepackage{booktabs} and \\usepackage{graphicx}"
    return "\n\n".join([head, *(latex_table(page, table) for table in page.tables)]) + "\n"


def latex_table(page: Page, table: Table) -> str:
    """Write one table with its caption above and all notes below, no wider than the page."""
    rows = [latex_row(name, cells) for name, cells in table.body]
    apart = [latex_row(name, cells) for name, cells in table.apart]
    rule = [r"\midrule"] if rows and apart else []
    notes = (latex_text(note) for note in chain(table.notes, page.notes))
    return "\n".join(
        [
            r"\begin{table*}[t]",
            r"\centering",
            rf"\caption{{{latex_text(table.title)}}}",
            rf"\label{{tab:{label(page.name, table.key)}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.header)) + r" \\",
            r"\midrule",
            *rows,
            *rule,
            *apart,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\smallskip",
            rf"\begin{{minipage}}{{\textwidth}}\footnotesize {' '.join(notes)}\end{{minipage}}",
            r"\end{table*}",
        ]
    )


def latex_row(name: str, cells: Iterable[Cell]) -> str:
    """Write one row."""
    return " & ".join([latex_text(name), *map(latex_cell, cells)]) + r" \\"


def latex_cell(cell: Cell) -> str:
    r"""Write a cell: number, mark, interval.

    >>> print(latex_cell(Cell("0.50", "[0.25, 0.75]", marked=True, style="bold")))
    \textbf{0.50}$^{\dagger}$ {\scriptsize [0.25, 0.75]}
    """
    number = latex_text(cell.text)
    if cell.style:
        number = rf"\text{'bf' if cell.style == 'bold' else 'it'}{{{number}}}"
    around = rf" {{\scriptsize {latex_text(cell.interval)}}}" if cell.interval else ""
    return f"{number}{latex_text('†') if cell.marked else ''}{around}"


def latex_text(text: str) -> str:
    r"""Escape what LaTeX would read as its own.

    >>> print(latex_text("a_b & 95 % {c}"))
    a\_b \& 95 \% \{c\}
    """
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def label(*words: str) -> str:
    """Make a label's name of letters, digits and hyphens.

    >>> label("paired", "road(steps=9) lite0")
    'paired-road-steps-9-lite0'
    """
    return "-".join(filter(None, re.split(r"[^A-Za-z0-9]+", " ".join(words))))
