"""An answer as CSV, that no spreadsheet takes for formulas."""

import csv
import io

import pytest

from views_layer.tables import csv_of


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+33 1", "'+33 1"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("a=b", "a=b"),
        ("", ""),
        (None, ""),
        (-3, "-3"),
        (-0.5, "-0.5"),
        (True, "true"),
    ],
)
def test_a_text_is_no_formula(value, cell):
    answer = {
        "query": {"by": ["properties.n"], "metrics": ["events"], "compare": "previous"},
        "results": [{"properties.n": value, "events": -1, "previous": {"events": 2}}],
    }
    assert list(csv.reader(io.StringIO(csv_of(answer), newline=""))) == [
        ["properties.n", "events", "previous.events"],
        [cell, "-1", "2"],
    ]
