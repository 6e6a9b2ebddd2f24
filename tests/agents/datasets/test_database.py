"""DuckDB in this very process, as it is within a query process."""

import pytest

from agents.datasets import DatasetSource, import_file
from agents.datasets.database import DatasetDatabase
from agents.datasets.query_result import TEXT_TOTAL_LIMIT
from contexts.exceptions import NotFoundError, ToolError
from contexts.identifiers import new_id

pytestmark = pytest.mark.unit

MENTIONED = new_id()
LOG = f"model,project,input_tokens,output_tokens\ngpt-4o,p,10,1\ngpt-4o,{str(MENTIONED).upper()},20,2\n"


@pytest.fixture
def source(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(LOG)
    import_file(log, tmp_path / "log.parquet", filename="log.csv")
    return DatasetSource(
        id="0123456789abcdef",
        name="My log",
        path=tmp_path / "log.parquet",
        assumed_model=None,
        time_is_relative=False,
        format="plain_table",
    )


@pytest.fixture
def database(source):
    database = DatasetDatabase()
    assert database.load([source], memory_limit_bytes=128 << 20) == {source.id: "my_log"}
    return database


def test_queries_are_answered_and_cut(database):
    answer = database.query("SELECT sum(input_tokens) AS tokens FROM my_log; -- done; really", max_rows=5)
    assert (answer.columns[0].name, answer.rows, answer.truncated) == ("tokens", ((30,),), False)
    assert database.query("SELECT i FROM range(30) t(i)", max_rows=30).truncated is False
    assert database.query("SELECT i FROM range(31) t(i)", max_rows=30).row_count == 30
    assert database.query("SELECT i FROM range(31) t(i)", max_rows=30).truncated is True
    long = database.query("SELECT repeat('x', 1900) || i AS a FROM range(200) t(i)", max_rows=200)
    assert long.truncated
    assert sum(len(text) for (text,) in long.rows) <= TEXT_TOTAL_LIMIT
    assert database.fetch("SELECT model FROM my_log WHERE input_tokens = ?", [20]) == [("gpt-4o",)]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT 1; SELECT 2", "this has 2"),
        ("DROP TABLE my_log", "this is DROP"),
        ("SELECT * FROM read_text('/etc/passwd')", "no files"),
        ("SELECT nonsense FROM my_log", 'column "nonsense" not found'),
        ("SELECT count(*) FROM (SELECT DISTINCT hash(i) FROM range(100000000) t(i))", "more memory"),
        (f"SELECT {', '.join(map(str, range(101)))}", "101 columns"),
    ],
)
def test_what_cannot_be_answered_says_why(database, sql, problem):
    with pytest.raises(ToolError, match=problem):
        database.query(sql, max_rows=5)
    with pytest.raises(ToolError, match="memory"):
        database.fetch("SELECT list(i) FROM range(100000000) t(i)", [])


def test_identifiers_are_found_however_they_are_written(database):
    assert database.mentions(MENTIONED)
    assert not database.mentions(new_id())


def test_what_cannot_be_opened_says_why(source, tmp_path):
    source.path.unlink()
    with pytest.raises(NotFoundError, match="gone"):
        DatasetDatabase().load([source], memory_limit_bytes=128 << 20)
    source.path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(ToolError, match="cannot be opened"):
        DatasetDatabase().load([source], memory_limit_bytes=128 << 20)
