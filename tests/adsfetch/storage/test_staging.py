"""Days that are written to temporary files."""

from datetime import date

import pytest

from adsfetch import DayError, StoreError, TransientError
from adsfetch.storage.staging import Staging


@pytest.mark.parametrize("columns", [(), ("date", "clicks")])
def test_a_first_row_that_is_not_a_mapping_fails_the_day_and_leaves_no_file(tmp_path, columns):
    staging = Staging(tmp_path, columns, escape_formulas=False)
    with pytest.raises(DayError, match="NoneType, not a mapping"):
        staging.write(date(2024, 2, 29), [None, {"date": "x", "clicks": 1}])
    assert not list(tmp_path.iterdir())


def test_a_day_of_another_process_must_have_the_columns_of_the_others(tmp_path):
    here, elsewhere = (Staging(tmp_path, (), escape_formulas=False) for _ in range(2))
    rows = [{"date": "2024-02-29", "clicks": 1}]
    assert here.add(elsewhere.write(date(2024, 2, 29), rows)).rows == 1
    assert here.columns == ("date", "clicks")
    other = Staging(tmp_path, (), escape_formulas=False)
    reordered = other.write(date(2024, 2, 28), [{"clicks": 1, "date": "2024-02-28"}])
    with pytest.raises(TransientError, match="order of the columns"):
        here.add(reordered)
    assert not reordered.path.exists()


def test_a_day_that_another_host_has_written_elsewhere_is_an_error(tmp_path):
    staging = Staging(tmp_path, (), escape_formulas=False)
    staged = staging.write(date(2024, 2, 29), [])
    staged.path.unlink()
    with pytest.raises(StoreError, match="all hosts must share DIR"):
        staging.add(staged)
