"""Curves of training."""

import numpy as np

from geoloc_models.reports import figures


def history_of(val_losses, **more):
    return [
        {"epoch": epoch, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": loss, **more}
        for epoch, loss in enumerate(val_losses, start=1)
    ]


def kept_epochs(axis):
    return [line.get_xdata()[0] for line in axis.lines if line.get_markersize() > 5]


def test_training_curves_mark_the_kept_epoch():
    figure = figures.training_curves({"country": history_of([3.0, 1.0, 2.0], val_accuracy=0.25)})
    loss, accuracy = figure.axes
    assert kept_epochs(loss) == kept_epochs(accuracy) == [2]
    validation = accuracy.lines[1]
    assert validation.get_ydata().tolist() == [25.0, 25.0, 25.0]
    assert "%" in accuracy.get_ylabel()
    assert loss.get_xlabel() == "Epoch"


def test_a_loss_that_is_nan_leaves_a_gap_and_is_not_kept():
    figure = figures.training_curves({"country": history_of([2.0, np.nan, 1.0, np.inf])})
    loss, accuracy = figure.axes
    assert kept_epochs(loss) == [3]
    assert np.isnan(accuracy.lines[1].get_ydata()).all()  # no accuracy was recorded
    nothing = figures.training_curves({"a": history_of([np.nan]), "b": []})
    assert kept_epochs(nothing.axes[0]) == []


def test_many_models_have_panels_of_their_own():
    histories = {f"model {n}": history_of([2.0, 1.0], val_accuracy=0.5) for n in range(5)}
    figure = figures.training_curves(histories)
    shown = [axis for axis in figure.axes if axis.axison]
    assert len(shown) == 10
    titles = [axis.get_title() for axis in shown if axis.get_title()]
    assert titles == list(histories)
    assert all(kept_epochs(axis) == [2] for axis in shown)


def test_augmentations_share_axes_with_training_dashed_and_validation_solid():
    histories = {
        "No augmentation": history_of([2.0, 3.0], val_accuracy=0.4),
        "Random crops": history_of([2.0, 1.0], val_accuracy=0.6),
    }
    figure = figures.augmentation_curves(histories)
    loss, _ = figure.axes
    assert kept_epochs(loss) == [1, 2]
    lines = {line.get_label(): line.get_linestyle() for line in loss.lines}
    for name in histories:
        assert lines[f"{name}, training"] == "--"
        assert lines[f"{name}, validation"] == "-"
    colours = {line.get_label().split(",")[0]: line.get_color() for line in loss.lines}
    assert colours["No augmentation"] != colours["Random crops"]
