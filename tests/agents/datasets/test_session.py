from pathlib import Path

import pytest

from agents.datasets import AnalysisSession, DatasetSource, import_file
from agents.datasets.query_result import TEXT_LIMIT, TEXT_TOTAL_LIMIT
from contexts.exceptions import NotFoundError, ToolError

pytestmark = pytest.mark.unit

MEMORY = 256 << 20


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    log = folder / "log.csv"
    log.write_text(
        "time,model,input_tokens,output_tokens\n2026-05-01T10:00:00Z,gpt-4o,10,1\n2026-05-02,,20,2\n"
    )
    import_file(log, folder / "log.parquet", filename="log.csv")
    return folder / "log.parquet"


def make_source(path: Path, name: str = "My log", dataset_id: str = "0123456789abcdef") -> DatasetSource:
    return DatasetSource(
        id=dataset_id, name=name, path=path, assumed_model=None, time_is_relative=False, format="plain_table"
    )


@pytest.fixture(scope="module")
def session(stored):
    """Yield one session for all tests: what a query may not change, it changes for none after it."""
    with AnalysisSession([make_source(stored)], memory_limit_bytes=MEMORY) as session:
        yield session


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(input_tokens) FROM my_log",
        "SELECT sum(input_tokens) FROM dataset_01234567",
        "WITH a AS (FROM my_log) SELECT sum(input_tokens) FROM a;",
        "select sum(input_tokens) -- why; not\nfrom my_log ; -- done; really\n /* x; */",
    ],
)
def test_one_reading_statement_is_answered(session, sql):
    result = session.query(sql)

    assert result.rows == ((30,),)
    assert (result.row_count, result.truncated) == (1, False)


def test_answers_can_be_written_as_json(session):
    result = session.query(
        "SELECT requested_at, TIMESTAMPTZ '2026-05-01 10:00:00+00' AS zoned, 1.50::DECIMAL(9, 2) AS price, "
        "'nan'::DOUBLE AS odd, [1, 2] AS list, {'a': DATE '2026-01-01'} AS object, NULL AS nothing, "
        "'ab'::BLOB AS bytes, INTERVAL 90 SECOND AS length, repeat('x', 5000) AS long, model AS a, 1 AS a "
        "FROM my_log ORDER BY row_number LIMIT 1"
    )

    row = dict(zip((column.name for column in result.columns), result.rows[0], strict=True))
    assert row["requested_at"] == "2026-05-01T10:00:00"
    assert row["zoned"] == "2026-05-01 10:00:00+00"
    assert (row["price"], row["odd"], row["list"], row["object"]) == (
        "1.50",
        "nan",
        "[1, 2]",
        "{'a': 2026-01-01}",
    )
    assert (row["nothing"], row["bytes"], row["length"]) == (None, "ab", 90.0)
    assert len(row["long"]) == 2001
    assert '"zoned"' in result.model_dump_json()


def test_more_rows_than_asked_for_are_cut_and_it_says_so(session):
    result = session.query("SELECT i FROM range(100000) t(i) ORDER BY i DESC LIMIT 50", max_rows=3)

    assert result.rows == ((99_999,), (99_998,), (99_997,))
    assert result.truncated is True


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "DROP TABLE my_log",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO my_log SELECT * FROM my_log",
        "DELETE FROM my_log",
        "WITH gone AS (DELETE FROM my_log RETURNING *) SELECT * FROM gone",
        "ATTACH '/tmp/x.db'",
        "COPY my_log TO '/tmp/x.csv'",
        "EXPORT DATABASE '/tmp/x'",
        "PRAGMA database_list",
        "SET threads = 8",
        "CALL enable_logging()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM 'https://example.com/x.parquet'",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "SELECT * FROM enable_logging(storage = 'file', storage_path = '/tmp/x')",
        "SELECT getenv('HOME')",
        "SELECT 1) UNION ALL (SELECT 2",
        "SELECT nonsense FROM my_log",
        "SELEKT 1",
    ],
)
def test_everything_else_is_refused_and_changes_nothing(session, sql):
    with pytest.raises(ToolError) as caught:
        session.query(sql)

    assert "\n" not in caught.value.message
    assert session.query("SELECT count(*) FROM my_log").rows == ((2,),)


def test_wrong_sql_is_answered_with_what_is_wrong(session):
    with pytest.raises(ToolError, match='column "nonsense" not found'):
        session.query("SELECT nonsense FROM my_log")


def test_the_configuration_cannot_be_unlocked(session):
    for sql in ("SET lock_configuration = false", "SET enable_external_access = true", "RESET allowed_paths"):
        with pytest.raises(Exception, match=r"(?i)lock|cannot"):
            session.fetch(sql)


def test_a_query_cannot_take_more_memory_than_granted(session):
    with pytest.raises(ToolError, match="memory"):
        session.query("SELECT string_agg(repeat('x', 1000000)) FROM range(2000)")

    assert session.query("SELECT 1").rows == ((1,),)


@pytest.mark.parametrize("memory", [0, 3, 1000, 100_000, 1_000_000])
def test_what_does_not_even_hold_the_tables_says_so(stored, memory):
    with pytest.raises(ToolError, match="more memory"):
        AnalysisSession([make_source(stored)], memory_limit_bytes=memory)


def test_a_large_dataset_is_read_from_its_own_file_and_from_no_other(stored, tmp_path):
    other = tmp_path / "other.parquet"
    other.write_bytes(stored.read_bytes())
    large = tmp_path / "large.csv"
    large.write_text("input_tokens,output_tokens\n" + "1,2\n" * 300_000)
    import_file(large, tmp_path / "large.parquet", filename="large.csv")

    source = make_source(tmp_path / "large.parquet", "large")
    with AnalysisSession([source], memory_limit_bytes=64 << 20) as session:
        assert session.query(
            "SELECT table_type FROM information_schema.tables WHERE table_name = 'large'"
        ).rows == (("VIEW",),)
        assert session.query("SELECT sum(input_tokens) FROM large").rows == ((300_000,),)
        with pytest.raises(ToolError, match="no files"):
            session.query(f"SELECT * FROM read_parquet('{other}')")


def test_names_of_datasets_become_names_of_tables(stored):
    names = ["Spend 2026 (März)!", "spend-2026 marz", "select", "2024", "日本", "x" * 200]
    sources = [make_source(stored, name, f"{number:08}-id") for number, name in enumerate(names)]

    with AnalysisSession(sources, memory_limit_bytes=MEMORY) as session:
        tables = list(session.table_names.values())
        assert tables == ["spend_2026_marz", "spend_2026_marz_2", "select_2", "log_2024", "log", "x" * 48]
        for table in [*tables, "dataset_00000003"]:
            assert session.query(f"SELECT count(*) FROM {table}").rows == ((2,),)


def test_a_missing_file_and_a_damaged_file_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError, match="gone"):
        AnalysisSession([make_source(tmp_path / "none.parquet")], memory_limit_bytes=MEMORY)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(ToolError, match="cannot be opened"):
        AnalysisSession([make_source(tmp_path / "bad.parquet")], memory_limit_bytes=MEMORY)


def test_sessions_do_not_see_each_other(stored):
    with (
        AnalysisSession([make_source(stored, "first")], memory_limit_bytes=MEMORY),
        AnalysisSession([make_source(stored, "second")], memory_limit_bytes=MEMORY) as second,
        pytest.raises(ToolError, match="first"),
    ):
        second.query("SELECT * FROM first")


def test_answers_are_cut_before_they_fill_the_memory(stored: Path) -> None:
    with AnalysisSession([make_source(stored)], memory_limit_bytes=MEMORY) as session:
        wide = session.query(
            "SELECT range(2000000) AS numbers, repeat('x', 5000) AS text FROM my_log LIMIT 1"
        )
        long = session.query("SELECT repeat('x', 1900) AS a, repeat('y', 1900) AS b FROM range(200)")
        deep = session.query(f"SELECT {'[' * 200}1{']' * 200} AS deep")
    assert [len(value) for value in wide.rows[0]] == [TEXT_LIMIT + 1, TEXT_LIMIT + 1]
    assert long.truncated
    assert sum(len(value) for row in long.rows for value in row) <= TEXT_TOTAL_LIMIT
    assert isinstance(deep.rows[0][0], str)
