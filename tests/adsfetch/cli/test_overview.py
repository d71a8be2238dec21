"""The overview of all datasets in a folder."""

import re

import pytest

SOURCE = ["--source", "adsfetch.example:fetch_data", "--out", "data", "--lookback", "0"]
MARCH = ["--today", "2024-03-05"]


@pytest.fixture
def three(run, tmp_path):
    """Fetch three datasets, one of which has a gap."""
    for name in ("a & b", "berlin", "rome"):
        run("fetch", "2024-02-26", "2024-03-01", *SOURCE, *MARCH, "--dataset", name)
    (tmp_path / "data/rome/days/2024-02-28.csv").unlink()


def test_without_a_name_it_shows_a_strip_of_days_for_each_dataset(run, three):
    result = run("status", "--out", "data", *MARCH)
    assert result.code == 0
    title, *lines, legend = result.out.splitlines()
    assert title == "3 datasets, 2024-02-26 to 2024-03-01: 2 without gaps, 1 not"
    assert [line.split("  ", 1)[0].strip() for line in lines] == ["a & b", "berlin", "rome"]
    assert re.fullmatch(r"a & b   [#o]{5}", lines[0])
    assert re.fullmatch(r"rome    [#o]{2}\.[#o]{2}  1 missing", lines[2])
    assert "# final" in legend


def test_a_range_and_a_name_are_as_for_one_dataset(run, three):
    arguments = ["status", "2024-02-28", "2024-02-28", "--out", "data", "--json"]
    record = run(*arguments).json
    assert (record["from"], record["to"]) == ("2024-02-28", "2024-02-28")
    assert [each["lacking"] for each in record["datasets"]] == [{}, {}, {"missing": 1}]
    assert "days" not in record["datasets"][0]
    assert run(*arguments, "--dataset", "rome").json["days"] == {"2024-02-28": "missing"}


def test_the_last_sixty_days_are_shown(run):
    for name in ("one", "two"):
        run("fetch", "2024-01-01", "2024-04-30", *SOURCE, "--dataset", name)
    record = run("status", "--out", "data", "--json", "--today", "2024-06-01").json
    assert (record["from"], record["to"]) == ("2024-03-02", "2024-04-30")


def test_the_page_loads_nothing_and_escapes_names(run, three, tmp_path):
    run("status", "--out", "data", *MARCH, "--html", "overview.html")
    page = (tmp_path / "overview.html").read_text()
    assert "a &amp; b" in page
    assert "a & b" not in page
    assert page.count("<svg ") == 3
    assert "rome: 2024-02-28 to 2024-02-28, missing" in page
    assert not re.search(r"(src|href)=|@import|url\(", page)


def test_a_quiet_status_names_only_what_is_wrong(run, three):
    quiet = ["status", "--out", "data", "--quiet", *MARCH]
    result = run(*quiet)
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("rome: 1 missing; last run ")
    assert len(result.err.splitlines()) == 1
    assert run(*quiet, "--dataset", "rome").err == result.err
    assert run(*quiet, "--dataset", "berlin").err == ""


def test_the_reason_of_the_last_failure_stands_beside_its_dataset(run, three, shop):
    shop.configure(fail=["2024-02-28"])
    options = ["--dataset", "shop", "--attempts", "1", *MARCH]
    run("fetch", "2024-02-28", "2024-02-28", *shop.options, *options)
    lines = run("status", "--out", "data", *MARCH).out.splitlines()
    assert lines[-2].startswith("shop ")
    assert lines[-2].endswith("1 failed; 1 day failed")


def test_a_dataset_that_is_not_there_is_answered_with_similar_names(run, three):
    for command in ("status", "missing", "aggregate"):
        result = run(command, "--out", "data", "--dataset", "berli")
        assert (result.code, "did you mean berlin?" in result.err) == (2, True)
    for name in ("a1", "a2", "a3"):
        run("fetch", "2024-02-26", "2024-02-26", *SOURCE, "--dataset", name)
    names = "choose one with --dataset: a & b, a1, a2, a3, berlin, ...; status lists them"
    assert names in run("missing", "--out", "data").err
