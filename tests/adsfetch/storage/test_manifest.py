"""A manifest that lost entries, or was lost."""

import pytest


def test_a_day_whose_entry_was_lost_in_a_crash_is_not_fetched_again(shop, fetch):
    fetch("fetch", "2024-01-01", "2024-01-03")
    manifest = shop.data / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]) + lines[-1][:30])
    shop.configure()
    result = fetch("fetch", "2024-01-01", "2024-01-05")
    assert result.code == 0
    assert sorted(shop.calls) == ["2024-01-04", "2024-01-05"]
    assert len(shop.all()) == 5


@pytest.mark.parametrize("lost", [["manifest.jsonl"], ["manifest.jsonl", "dataset.json"]])
def test_a_lost_manifest_is_rebuilt_from_the_files(shop, fetch, lost):
    shop.configure(empty=["2024-01-02"])
    fetch("fetch", "2024-01-01", "2024-01-05")
    before = shop.all()
    for name in lost:
        (shop.data / name).unlink()
    shop.configure()
    result = fetch("fetch", "2024-01-01", "2024-01-05")
    assert result.code == 0
    assert shop.calls == []
    assert shop.all() == before
    assert shop.recorded == {f"2024-01-0{number}" for number in range(1, 6)}
