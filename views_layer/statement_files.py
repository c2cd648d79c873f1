"""A statement as files: CSV for machines and spreadsheets, PDF for people. Both are made of what is frozen alone."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from insights.retribution import MILLION
from views_layer.models import Statement
from views_layer.tables import cell

HEADER = (
    "statement", "hub", "month", "model", "currency", "kind", "of_month", "goal", "intermediary", "credit", "rate",
    "old", "new", "amount", "digest",
)  # fmt: skip
"""`amount` of the lines and corrections adds up to that of the total; `rate` is per goal; all in units of the currency."""
MARGIN, LINE_HEIGHT = 15, 6
COLUMNS = {"Goal": 34, "Intermediary": 62, "Credit": 28, "Rate": 26, "Amount": 30}
CORRECTIONS = {"Month": 24, "Intermediary": 72, "Paid": 28, "Due": 28, "Difference": 28}


def csv_of_statement(statement: Statement) -> str:
    """The rows of a statement: its lines, corrections of earlier months, and the total."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for row in _rows(statement):
        writer.writerow([cell(row.get(name)) for name in HEADER])
    return text.getvalue()


def _rows(statement: Statement) -> Iterator[dict[str, Any]]:
    month = f"{statement.month:%Y-%m}"
    common = {
        "statement": "draft" if statement.is_draft else statement.number,
        "hub": statement.hub.slug,
        "month": month,
        "model": statement.model,
        "currency": statement.currency,
        "digest": statement.digest,
    }
    for line in statement.lines:
        yield common | {
            "kind": "line",
            "of_month": month,
            "goal": line["goal"],
            "intermediary": line["intermediary"],
            "credit": _credit(line),
            "rate": _rate(statement, line),
            "amount": statement.money(line["amount"]),
        }
    for one in statement.corrections:
        yield common | {
            "kind": "correction",
            "of_month": one["month"],
            "intermediary": one["intermediary"],
            "old": statement.money(one["old"]),
            "new": statement.money(one["new"]),
            "amount": statement.money(one["new"] - one["old"]),
            "digest": one["digest"],
        }
    yield common | {"kind": "total", "amount": statement.money(statement.total)}


def _title(statement: Statement) -> str:
    return "Draft" if statement.is_draft else f"Statement {statement.number}"


def _credit(line: dict[str, Any]) -> Decimal:
    return (Decimal(line["credit"]) / MILLION).quantize(Decimal("0.000001"))


def _rate(statement: Statement, line: dict[str, Any]) -> Decimal:
    """In units of the currency for one goal, with the three decimals of a minor unit that rates have."""
    return statement.money(1) * Decimal(line["rate"])


class _Pages(FPDF):
    """Pages with a foot; its bytes depend on what is written and on the time of issue alone."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(format="A4")
        self._name = f"{_title(statement)} · {statement.hub.slug} · {statement.month:%Y-%m}"
        self.set_creation_date(statement.issued_at)
        self.set_producer("Affluence")
        self.set_title(_shown(self._name))
        self.set_lang("en")
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, margin=2 * MARGIN)
        self.add_page()

    def footer(self) -> None:
        self.set_y(-MARGIN)
        self.set_font("Helvetica", size=8)
        self.cell(0, 5, _shown(f"{self._name} · page {self.page_no()} of {{nb}}"), align="C")

    def write_line(self, text: str, size: int = 10, style: str = "") -> None:
        self.set_font("Helvetica", style, size)
        self.multi_cell(0, LINE_HEIGHT, _shown(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def write_table(self, widths: dict[str, int], rows: list[tuple[str, ...]]) -> None:
        """Rows below a head that each page repeats; text that is too long goes on in the next line."""
        self.set_font("Helvetica", size=9)
        texts = ("Goal", "Intermediary", "Month")
        align = tuple("LEFT" if name in texts else "RIGHT" for name in widths)
        with self.table(
            col_widths=tuple(widths.values()), text_align=align, borders_layout="HORIZONTAL_LINES", line_height=5
        ) as table:
            for row in [tuple(widths), *rows]:
                table.row([_shown(text) for text in row])
        self.ln(4)


def pdf_of_statement(statement: Statement) -> bytes:
    """A statement as PDF. Letters that its font lacks are written as \\u and their number; the CSV has them."""
    pages = _Pages(statement)
    pages.write_line(f"{_title(statement)}: {statement.month:%Y-%m}", 18, "B")
    pages.ln(2)
    if statement.is_draft:
        pages.write_line("No rate is in force in this month: these are credits alone, and nothing has been issued.")
    pages.write_line(f"Hub: {statement.hub.slug}")
    pages.write_line(
        f"{'Made' if statement.is_draft else 'Issued'}: {statement.issued_at:%Y-%m-%d %H:%M} UTC. Month of {statement.timezone}."
    )
    pages.write_line(f"Model of attribution: {statement.model}. Currency: {statement.currency}.")
    pages.ln(4)
    pages.write_table(
        COLUMNS,
        [
            (
                line["goal"],
                line["intermediary"],
                str(_credit(line)),
                f"{_rate(statement, line):f}",
                str(statement.money(line["amount"])),
            )
            for line in statement.lines
        ],
    )
    if statement.corrections:
        pages.write_line("Corrections of earlier months", 12, "B")
        pages.ln(2)
        pages.write_table(
            CORRECTIONS,
            [
                (
                    one["month"],
                    one["intermediary"],
                    *(str(statement.money(amount)) for amount in (one["old"], one["new"], one["new"] - one["old"])),
                )
                for one in statement.corrections
            ],
        )
    pages.write_line(f"Total: {statement.money(statement.total)} {statement.currency}", 12, "B")
    pages.ln(4)
    pages.write_line(f"SHA-256 of the events used: {statement.digest}", 8)
    return bytes(pages.output())


def _shown(text: str) -> str:
    """A text in the letters of the PDF's own fonts."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")
