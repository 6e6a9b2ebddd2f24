"""How many input tokens an ideal prefix cache would serve.

Definition: going through the log in its order, a request's leading blocks of 512 tokens that an earlier
request to the same model already had are served from the cache, up to the first block that none had; a last
block that is not full counts with the tokens it has, so never more than the request's input. The cache is
ideal: it is unlimited and forgets nothing. Block hashes name a block together with all blocks before it, as
in the Mooncake trace.
"""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

PREFIX_BLOCK_TOKENS = 512
"""Tokens in one block of `prefix_hashes` (Mooncake, FAST '25)."""


def with_ideal_cache(table: str, *, partitions: dict[str, str]) -> str:
    """Return SQL for `table` with one more column of cached tokens for each of `partitions`.

    Args:
        table: Quoted name of a dataset's table.
        partitions: Name of the new column to the SQL text expression that tells whose cache a request uses;
            requests share cached blocks only where it is equal.

    """
    joins = ""
    columns = ""
    parts = []
    for number, (column, owner) in enumerate(partitions.items()):
        parts.append(_hits_sql(table, owner, number))
        joins += f" LEFT JOIN hits_{number} USING (row_number)"
        columns += f", greatest(coalesce(hit_tokens_{number}, 0), cached_input_tokens) AS {column}"
    return f"(WITH {', '.join(parts)} SELECT data.*{columns} FROM {table} AS data{joins})"


def _hits_sql(table: str, owner: str, number: int) -> str:
    return f"""
    blocks_{number} AS (
        SELECT row_number, input_tokens, {owner} AS owner, unnest(prefix_hashes) AS hash,
            generate_subscripts(prefix_hashes, 1) AS position
        FROM {table} WHERE prefix_hashes IS NOT NULL
    ),
    first_seen_{number} AS (
        SELECT owner, hash, min(row_number) AS first_row FROM blocks_{number} GROUP BY owner, hash
    ),
    hits_{number} AS (
        SELECT row_number,
            least(
                (coalesce(min(position) FILTER (WHERE first_row = row_number), max(position) + 1) - 1)
                    * {PREFIX_BLOCK_TOKENS},
                any_value(input_tokens)
            ) AS hit_tokens_{number}
        FROM blocks_{number} JOIN first_seen_{number} USING (owner, hash)
        GROUP BY row_number
    )"""
