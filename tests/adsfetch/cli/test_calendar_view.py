"""The calendar in the terminal and as a page."""

from html.parser import HTMLParser

WEEK = ("2024-02-27", "2024-03-04", "--source", "adsfetch.example:fetch_data", "--out", "data")


class CellClasses(HTMLParser):
    """Collects the class of each cell of the page."""

    def __init__(self):
        super().__init__()
        self.classes = []

    def handle_starttag(self, tag, attrs):
        name = dict(attrs).get("class")
        if tag == "td" and name:
            self.classes.append(name)


def test_the_calendar_shows_the_same_days_in_the_terminal_and_on_the_page(run, tmp_path):
    run("fetch", *WEEK)
    (tmp_path / "data/fetch_data/days/2024-03-02.csv").unlink()
    result = run("status", "2024-02-26", "2024-03-04", "--out", "data", "--html", "page.html")
    assert "5 final, 1 empty, 0 provisional, 0 failed, 2 missing" in result.out
    assert "2024-02                           .#o#" in result.out
    assert "2024-03  #.##" in result.out
    page = CellClasses()
    text = (tmp_path / "page.html").read_text()
    page.feed(text)
    assert sorted(page.classes) == ["empty"] + ["final"] * 5 + ["missing"] * 2
    assert "http" not in text
