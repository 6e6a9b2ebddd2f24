import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.datasets import import_file

pytestmark = pytest.mark.unit

COUNT = st.integers(min_value=0, max_value=10**9)
MODEL = st.one_of(st.just(""), st.text(alphabet='gpt-4o ",;\n\té', min_size=1, max_size=12))
ROWS = st.lists(st.tuples(COUNT, COUNT, MODEL), min_size=1, max_size=30)


@settings(max_examples=40)
@given(rows=ROWS, separator=st.sampled_from(",;\t|"), line_end=st.sampled_from(["\n", "\r\n"]))
def test_any_small_csv_is_imported_to_its_exact_totals(rows, separator, line_end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end)
    writer.writerow(["model", "input_tokens", "output_tokens"])
    for input_tokens, output_tokens, model in rows:
        writer.writerow([model, input_tokens, output_tokens])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "log.csv"
        source.write_bytes(text.getvalue().encode())

        imported = import_file(source, Path(folder) / "log.parquet", filename="log.csv")

    assert imported.rows == len(rows)
    assert imported.input_tokens == sum(row[0] for row in rows)
    assert imported.output_tokens == sum(row[1] for row in rows)
    assert set(imported.models) == {row[2].strip(" ") for row in rows} - {""}
