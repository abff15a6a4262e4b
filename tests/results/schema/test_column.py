"""How a column is declared: the short forms give the type, unit and direction that they promise."""

from results.schema import column


def test_each_short_form_has_its_type_and_only_a_measured_number_a_direction():
    made = (column.text("a", "m"), column.count("b", "rows", "m"), column.real("c", "nats", "m", "up"))
    assert [one.dtype for one in made] == ["str", "Int64", "float64"]
    assert [one.better for one in made] == ["none", "none", "up"]
    assert column.flag("d", "m") == column.Column("d", "boolean", "true or false", "none", "m")


def test_a_standard_error_has_the_unit_of_its_metric_and_no_direction():
    metric, error = column.with_se("accuracy", "share", "pairs ranked right", "up")
    assert (metric.name, metric.unit, metric.better) == ("accuracy", "share", "up")
    assert (error.name, error.unit, error.better) == ("accuracy_se", "share", "none")
    assert error.meaning == "standard error of accuracy, clustered on the first human turn"


def test_every_letter_that_meanings_use_is_explained():
    for letter in ("c, r =", "c0, r0 =", "nc, nr =", "a = c - c0", "d = r - r0", "h = a - d"):
        assert letter in column.LETTERS
