/** What calibration.json says about a logit; see chestxray/scoring/calibration_file.py. */

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** A finding's row on the page. `calibrated`, `call`, `percentile` and `threshold` are null where nothing is known. */
export function describeFinding(name, logit, calibration) {
  const row = { name, logit, own: sigmoid(logit), calibrated: null, call: null, percentile: null, threshold: null };
  const known = calibration?.findings[name];
  if (!known) return row;
  const calibrate = (value) => sigmoid(value * known.slope + known.intercept);
  const limit = known.thresholds[calibration.about.rule];
  const isCalibrated = known.slope !== null && known.intercept !== null;
  row.calibrated = isCalibrated ? calibrate(logit) : null;
  row.percentile = percentileAmong(logit, known.quantiles);
  if (limit !== null) {
    row.call = logit >= limit;
    row.threshold = isCalibrated ? calibrate(limit) : sigmoid(limit);
  }
  return row;
}

/** How many of 100 validation images have a lower logit; of several quantiles with one value, their middle counts. */
export function percentileAmong(logit, quantiles) {
  if (quantiles.some((value) => value === null)) return null;
  const [values, middles] = [[], []];
  for (let start = 0; start < quantiles.length; ) {
    let end = start;
    while (end + 1 < quantiles.length && quantiles[end + 1] === quantiles[start]) end++;
    values.push(quantiles[start]);
    middles.push((start + end) / 2);
    start = end + 1;
  }
  if (logit <= values[0]) return middles[0];
  const above = values.findIndex((value) => logit < value);
  if (above < 0) return middles.at(-1);
  const share = (logit - values[above - 1]) / (values[above] - values[above - 1]);
  return middles[above - 1] + share * (middles[above] - middles[above - 1]);
}
