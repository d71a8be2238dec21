"""The command aggregate: the file of all days, its copy for Excel, and sums."""

BOM = b"\xef\xbb\xbf"
MONTHS = ("aggregate", "--out", "data", "--by", "month")


def files(shop):
    return (shop.data / "all.csv").read_bytes(), (shop.data / "all.excel.csv").read_bytes()


def test_the_copy_for_excel_is_all_csv_with_a_mark_and_then_stays_up_to_date(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    assert not (shop.data / "all.excel.csv").exists()
    before = (shop.data / "all.csv").read_bytes()
    result = run("aggregate", "--out", "data", "--excel")
    assert result.out.endswith("all.excel.csv: written, 3 days, 3 rows\n")
    plain, excel = files(shop)
    assert (plain, excel) == (before, BOM + before)
    assert run("aggregate", "--out", "data", "--excel", "--json").json["written"] is False
    assert run("aggregate", "--out", "data", "--json").json["written"] is False
    fetch("fetch", "2024-01-01", "2024-01-05")
    plain, excel = files(shop)
    assert excel == BOM + plain != BOM + before


def test_a_copy_that_was_edited_is_written_again_and_a_deleted_one_is_not(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    run("aggregate", "--out", "data", "--excel")
    (shop.data / "all.excel.csv").write_text("saved by Excel")
    assert run("aggregate", "--out", "data", "--json").json["written"] is True
    plain, excel = files(shop)
    assert excel == BOM + plain
    (shop.data / "all.excel.csv").unlink()
    run("aggregate", "--out", "data")
    assert not (shop.data / "all.excel.csv").exists()
    assert run("aggregate", "--out", "data", "--json").json["written"] is False


def test_somebody_elses_file_of_that_name_is_not_replaced_unasked(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    (shop.data / "all.excel.csv").write_text("mine")
    fetch("fetch", "2024-01-01", "2024-01-05")
    assert (shop.data / "all.excel.csv").read_text() == "mine"


def test_sums_by_month_are_printed_and_all_csv_stays(shop, fetch, run):
    shop.configure(clicks=2, more={"cost": "0.10", "ctr": 0.5})
    fetch("fetch", "2024-01-30", "2024-02-02")
    (shop.data / "all.csv").unlink()
    result = run(*MONTHS)
    assert result.out == "month,clicks,cost\n2024-01,4,0.2\n2024-02,4,0.2\ntotal,8,0.4\n"
    assert result.err == "not summed, because they are no amounts that add up: ctr\n"
    assert not (shop.data / "all.csv").exists()
    record = run(*MONTHS, "--by", "note", "--json").json
    assert record["groups"][0] == {"month": "2024-01", "note": "x", "clicks": "4", "cost": "0.2"}
    assert record["total"] == {"clicks": "8", "cost": "0.4"}
    assert record["not_additive"] == ["ctr"]


def test_days_that_are_not_held_are_counted(shop, fetch, run):
    shop.configure(fail=["2024-01-02"])
    fetch("fetch", "2024-01-01", "2024-01-03", "--attempts", "1")
    result = run(*MONTHS)
    assert "1 days between the first and the last one are not held" in result.err
    assert run(*MONTHS, "--json").json["days_not_held"] == 1
    assert run(*MONTHS, "--quiet", "--to", "sums.csv").err == ""


def test_sums_go_to_a_file_also_for_excel(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    result = run(*MONTHS, "--to", "sums.csv")
    assert result.out.splitlines() == ["1 groups", f"{shop.folder / 'sums.csv'}: written"]
    plain = (shop.folder / "sums.csv").read_bytes()
    assert plain == b"month,clicks\n2024-01,3\ntotal,3\n"
    run(*MONTHS, "--to", "sums.csv", "--excel")
    assert (shop.folder / "sums.csv").read_bytes() == BOM + plain
    copy = shop.data / "all.excel.csv"
    assert run("aggregate", "--out", "data", "--excel").out.startswith(f"{copy}: written")


def test_wrong_usage_is_named_and_no_file_of_a_dataset_is_replaced(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    before = (shop.data / "all.csv").read_bytes()
    assert run("aggregate", "--out", "data", "--to", "sums.csv").code == 2
    assert run(*MONTHS, "--to", str(shop.data / "all.csv")).code == 2
    assert run(*MONTHS, "--by", "campaign.id").code == 2
    assert (shop.data / "all.csv").read_bytes() == before
