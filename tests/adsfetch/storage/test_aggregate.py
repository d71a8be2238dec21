"""The aggregate of all days."""


def test_the_aggregate_is_written_again_when_it_was_lost_or_edited(shop, fetch, run):
    fetch("fetch", "2024-01-01", "2024-01-03")
    before = (shop.data / "all.csv").read_bytes()
    (shop.data / "all.csv").write_text("mine")
    assert run("aggregate", "--out", "data", "--json").json["written"] is True
    assert (shop.data / "all.csv").read_bytes() == before
    assert run("aggregate", "--out", "data", "--json").json["written"] is False
