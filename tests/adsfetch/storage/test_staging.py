"""Days that are written to temporary files."""

from datetime import date

import pytest

from adsfetch import DayError
from adsfetch.storage.staging import Staging


@pytest.mark.parametrize("columns", [(), ("date", "clicks")])
def test_a_first_row_that_is_not_a_mapping_fails_the_day_and_leaves_no_file(tmp_path, columns):
    staging = Staging(tmp_path, columns, escape_formulas=False)
    with pytest.raises(DayError, match="NoneType, not a mapping"):
        staging.write(date(2024, 2, 29), [None, {"date": "x", "clicks": 1}])
    assert not list(tmp_path.iterdir())
