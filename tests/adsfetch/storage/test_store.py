"""Days that are replaced as a whole."""


def test_a_day_that_fails_to_be_restated_keeps_its_old_rows(shop, fetch):
    shop.configure(clicks=5)
    assert fetch("update", "--lookback", "3", "--today", "2024-03-05").code == 0
    shop.configure(fail=["2024-03-04"])
    result = fetch("update", "--lookback", "3", "--today", "2024-03-05")
    assert result.code == 1
    clicks = {row["date"]: row["clicks"] for row in shop.all()}
    assert clicks["2024-03-04"] == "5"
