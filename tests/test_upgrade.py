"""An upgrade without an outage, and its way back: two releases serve while migrations run."""

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.config import database_url
from stress.service import ROOT
from stress.threads import WorkerThreads
from tests.servers import SECRET, LiveGunicorn
from tests.waiting import PATIENCE, wait_until

CODE = ("app", "bookreview", "inventory", "adsfetch", "migrations")
MIGRATION = '''"""Note the language of reviews."""

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{old}"


def upgrade() -> None:
    op.add_column("review", sa.Column("language", sa.String(2)))
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.create_index(
            "ix_review_language", "review", ["language"], postgresql_concurrently=True
        )


def downgrade() -> None:
    op.drop_column("review", "language")
'''
NEW_CODE = """
from sqlalchemy.orm import mapped_column
Review.language = mapped_column(String(2), default="en")
"""
REVIEW = json.dumps({"rating": 5, "reviewer": "Ana", "text": "Good."})
REVIEWS = "SELECT count(*) FROM review"
OF_NEW_CODE = f"{REVIEWS} WHERE language = 'en'"
OF_OLD_CODE = f"{REVIEWS} WHERE language IS NULL"


class Host(LiveGunicorn):
    """A service of one worker that runs the code of a folder."""

    def __init__(self, code, **settings):
        super().__init__(PYTHONPATH=str(code), WEB_CONCURRENCY="1", **settings)
        self.code = code

    def command(self):
        python, *words = super().command()
        return [python, *(word.replace(str(ROOT), str(self.code)) for word in words)]

    def is_ready(self):
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False


class Clients(WorkerThreads):
    """One client that reads and one that writes, each on one connection: a lost one is an error."""

    def __init__(self, host):
        self.statuses = Counter()
        self._port = host.port
        super().__init__(lambda: self._repeat("GET"), lambda: self._repeat("POST", REVIEW))

    def _repeat(self, method, body=None):
        with closing(
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        ) as connection:
            while not self.stopping.is_set():
                connection.request(
                    method, "/books/1/reviews", body, {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                response.read()
                self.statuses[method, response.status] += 1
                self.stopping.wait(0.01)

    def wait_for_more(self):
        """Wait until both clients got further responses."""
        before = self.statuses.copy()
        wait_until(lambda: all(self.statuses[each] > before[each] + 2 for each in RIGHT))


RIGHT = {("GET", 200), ("POST", 201)}


@pytest.fixture
def new_release(tmp_path):
    """The code of this release with one more migration, and a model that uses it."""
    folder = tmp_path / "release"
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, folder)
    versions = folder / "migrations/versions"
    old = max(path.name[:4] for path in versions.glob("0*.py"))
    new = f"{int(old) + 1:04}"
    (versions / f"{new}_language_of_reviews.py").write_text(MIGRATION.format(old=old, new=new))
    models = folder / "bookreview/models.py"
    models.write_text(models.read_text() + NEW_CODE)
    return folder


def flask_db(folder: Path, url: str, *words: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "SECRET_KEY": SECRET}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def count(postgres_copy):
    engine = create_engine(database_url(postgres_copy), poolclass=NullPool)

    def number(query):
        with engine.connect() as connection:
            return connection.scalar(text(query))

    return number


def test_an_upgrade_and_its_way_back_lose_no_request(postgres_copy, redis_url, new_release, count):
    settings = {"DATABASE_URL": postgres_copy, "REDIS_URL": redis_url}
    with Host(ROOT, **settings) as old:
        old.request("POST", "/books", b'{"title": "Emma", "author": "Jane Austen"}')
        with Clients(old) as of_old:
            of_old.wait_for_more()
            flask_db(new_release, postgres_copy, "upgrade")
            of_old.wait_for_more()
            assert old.is_ready()
            with Host(new_release, **settings) as new, Clients(new) as of_new:
                of_new.wait_for_more()
                of_old.wait_for_more()
                by_new, by_old = count(OF_NEW_CODE), count(OF_OLD_CODE)
                assert old.is_ready()
            of_old.wait_for_more()
            flask_db(new_release, postgres_copy, "downgrade")
            of_old.wait_for_more()
            assert old.is_ready()
    assert {*of_old.statuses} == {*of_new.statuses} == RIGHT
    assert by_new > 0
    assert by_old > 0
    written = of_old.statuses["POST", 201] + of_new.statuses["POST", 201]
    assert count(REVIEWS) == written
