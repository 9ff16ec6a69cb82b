"""The manual's table of disturbances is whole: each has a row, and no cell of it is empty."""

import re

from benchmarks.disturbances import BEGIN, COLUMNS, DISTURBANCES, END, PAGE, Row, table


def rows() -> list[list[str]]:
    """The cells of the table in the manual, without its head."""
    block = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in block.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_disturbance_is_in_the_manual() -> None:
    """In the order in which the script makes them."""
    assert [row[0] for row in rows()] == [disturbance.name for disturbance in DISTURBANCES]


def test_no_cell_is_empty() -> None:
    """What does not apply has a dash and the number of a footnote."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for row in rows():
        assert len(row) == len(COLUMNS) + 1, row
        assert all(row), row
        for cell in row:
            if cell.startswith("—"):
                note = re.fullmatch(r"— \((\d+)\)", cell)
                assert note is not None, row
                assert f"\n({note[1]}) " in text, row


def test_a_cell_without_a_word_stays_empty_unless_there_is_a_reason() -> None:
    """So that the test above sees it when the script found nothing."""
    made = table([Row("camera unplugged", {"log": "a line"}), Row("sink answers 503", {})])
    first, second = made.splitlines()[2:4]
    assert first == "| camera unplugged | a line |  |  |  |  |  |"
    assert second == "| sink answers 503 |  | — (1) |  |  |  |  |"
    assert made.splitlines()[-1].startswith("(1) no camera is concerned")
