"""From predictions to a scorecard: thresholds, calibration, subgroups and intervals."""
