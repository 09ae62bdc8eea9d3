"""From predictions to a scorecard: thresholds, calibration, subgroups, pages and the model card."""
