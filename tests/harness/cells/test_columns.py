"""Which columns of a row say how a model was trained, and are empty where that is not known."""

from harness.cells.columns import OF_TRAINING
from results.schema.row import ROW_COLUMNS, SINCE_LATER


def test_the_columns_that_are_unknown_of_an_external_checkpoint_are_these():
    columns = {column.name for column in ROW_COLUMNS}
    unknown = (
        "train_pairs dropped_pairs batch_size epochs tuning precision label_noise length_balance min_margin reference"
    )
    assert columns & OF_TRAINING == {*unknown.split(), *SINCE_LATER}
