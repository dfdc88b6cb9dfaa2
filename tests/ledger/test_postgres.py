"""The ledger in a real PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter import ConfigError, Router
from llmrouter.store.ledger import Ledger, open_ledger
from llmrouter.store.ledger_row import MIGRATIONS, TABLE, UNDER_WAY, Filter
from llmrouter.store.lost import LedgerLostError
from tests.chains import ask, chain
from tests.conftest import FaultServers
from tests.ledger.rows import ALL, row, run
from tests.servers.faults import refused_port
from tests.servers.postgres import find_postgres
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with find_postgres() as url:
        yield url


@pytest.fixture
def database(server: str) -> str:
    """The URL of a database without any table of ours."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}, {UNDER_WAY}, llmrouter_schema")
    return server


def rows_in(url: str) -> list[Any]:
    ledger = open_ledger(Path("unused"), url)
    found = sorted(ledger.read(ALL))
    ledger.close()
    return found


def test_what_is_read_is_what_was_written(database: str) -> None:
    rows = [row(), row(number=1, cost_nano=None, tags='{"team": "a"}', estimated=True, error="ServerError")]
    ledger = open_ledger(Path("unused"), database)
    for each in rows:
        ledger.add(each)
    assert sorted(ledger.read(ALL)) == rows
    assert ledger.read(Filter(route="other")) == []
    assert [each.number for each in ledger.read(Filter(since=0, until=2e9, target=rows[0].target))] == [0, 1]
    ledger.close()


def test_reading_makes_no_table(database: str) -> None:
    import psycopg

    assert rows_in(database) == []
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
    assert found == (None,)


def test_a_row_that_is_written_again_changes_nothing(database: str) -> None:
    from llmrouter.store.postgres import PostgresRows

    rows = PostgresRows(database)
    rows.write([row()])
    rows.write([row(route="other"), row(number=1)])
    rows.close()
    assert [each.route for each in rows_in(database)] == ["r", "r"]


def test_an_attempt_has_an_open_row_until_it_is_over(database: str) -> None:
    from llmrouter.store.postgres import PostgresRows

    rows = PostgresRows(database)
    rows.write([], [row(outcome="open"), row(outcome="open", number=1)])
    assert sorted(each.number for each in rows.read(Filter(outcome="open"))) == [0, 1]
    rows.write([row()], (), [("c1", 0)])
    rows.close()
    assert [(each.number, each.outcome) for each in rows_in(database)] == [(0, "ok"), (1, "open")]


def test_a_database_of_an_older_version_gets_its_second_table(database: str) -> None:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("CREATE TABLE llmrouter_schema (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO llmrouter_schema VALUES (1)")
    assert rows_in(database) == []
    ledger = open_ledger(Path("unused"), database)
    ledger.begin(("c1", 1), 0.0, lambda: row(outcome="open", number=1))
    ledger.add(row())
    ledger.close()
    assert [(each.number, each.outcome) for each in rows_in(database)] == [(0, "ok"), (1, "open")]


def test_many_programs_that_start_together_make_one_table(database: str) -> None:
    ledgers: list[Ledger] = [open_ledger(Path("unused"), database) for _ in range(6)]
    start = threading.Barrier(6)

    def write(ledger: Ledger, name: str) -> None:
        start.wait()
        for number in range(20):
            ledger.add(row(call=name, number=number))
        ledger.close()

    threads = [threading.Thread(target=write, args=(ledger, str(n))) for n, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows_in(database)) == 120


def test_a_router_writes_there(face: Face, fault_server: FaultServers, database: str, tmp_path: Path) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(Answer(input_tokens=100, output_tokens=10)))))
    with face.router({**config, "ledger": {"url": database}}) as router:
        ask(face, router, "chat")
        assert router.usage(by="route").total.cost_nano == 200_000
    assert [each.cost_nano for each in rows_in(database)] == [200_000]
    assert not list(tmp_path.rglob("usage.db"))


def test_after_a_fork_each_process_has_its_own_connection(database: str) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom llmrouter.store.ledger import open_ledger\n"
        "from tests.ledger.rows import row\n"
        "ledger = open_ledger(Path('unused'), sys.argv[1])\n"
        "ledger.add(row(call='parent')); ledger.flush()\n"
        "if os.fork() == 0:\n  ledger.add(row(call='child')); sys.exit(0)\n"
        "os.wait(); ledger.add(row(call='parent', number=1))"
    )
    run(program, database)
    assert [(each.call, each.number) for each in rows_in(database)] == [("child", 0), ("parent", 0), ("parent", 1)]


# ------------------------------------------------------------------------------------------------ without a server


@pytest.fixture
def away() -> Iterator[str]:
    """The URL of a server that is not there."""
    installed()
    with refused_port() as port:
        yield f"postgresql://somebody:canary-password@127.0.0.1:{port}/nothing"


def installed() -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra `postgres` is not installed")


def test_a_server_that_is_away_costs_a_warning_and_no_call(
    face: Face, fault_server: FaultServers, warnings: list[str], away: str
) -> None:
    config = {**chain((OPENAI, fault_server(OPENAI.reply()))), "ledger": {"url": away}}
    with face.router(config) as router:
        assert ask(face, router, "chat").content
    assert warnings
    assert "canary-password" not in "".join(warnings)
    assert "1 rows are lost" in warnings[-1]


def test_reading_from_a_server_that_is_away_says_so_without_the_password(away: str) -> None:
    ledger = open_ledger(Path("unused"), away)
    with pytest.raises(LedgerLostError) as failure:
        ledger.read(ALL)
    ledger.close()
    assert "canary-password" not in str(failure.value)


@pytest.mark.parametrize("url", ["mysql://me:canary-password@host/x", "canary-password", "postgresql://host:port/x"])
def test_an_address_of_another_kind_is_a_config_error(url: str) -> None:
    installed()
    with pytest.raises(ConfigError, match=r"ledger\.url is not a PostgreSQL address") as failure:
        Router({"version": 1, "ledger": {"url": url}})
    assert "canary-password" not in str(failure.value)


def test_a_reload_with_a_wrong_address_keeps_the_last_good_file(tmp_path: Path) -> None:
    installed()
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1")
    with Router(file) as router:
        file.write_text(json.dumps({"version": 1, "ledger": {"url": "mysql://host/x"}}))
        assert not router.reload()
        assert "ledger.url" in str(router.reload_error)
