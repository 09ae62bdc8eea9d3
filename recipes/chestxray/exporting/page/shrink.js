/** Antialiased bicubic resizing in the integers of Pillow's Resample.c, and OpenCV's equalizeHist: the same bytes. */

const SUPPORT = 2; // of the filter, in pixels of the smaller picture
const A = -0.5;
const PRECISION = 32 - 8 - 2; // bits behind the point

/** A grey picture in another size. */
export function resize(picture, width, height) {
  const across = width === picture.width ? picture : resizeRows(picture, width);
  return height === across.height ? across : resizeColumns(across, height);
}

/** A grey picture as the model takes it: a square of 8-bit greys. */
export function shrink(picture, size, equalizes) {
  const { greys } = resize(picture, size, size);
  return equalizes ? equalize(greys) : greys;
}

function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

/** For each place: where its window begins, and the weights in it, as integers. */
function windows(from, to) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: end - start }, (_, i) => bicubic((i + start - centre + 0.5) * (1 / stretch)));
    let total = 0;
    for (const weight of weights) total += weight;
    return { start, weights: Int32Array.from(weights, (weight) => roundAway((weight / total) * (1 << PRECISION))) };
  });
}

const roundAway = (value) => Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
const clip = (sum) => Math.min(255, Math.max(0, sum >> PRECISION));
const HALF = 1 << (PRECISION - 1);

function resizeRows({ width, height, greys }, to) {
  const made = new Uint8Array(to * height);
  windows(width, to).forEach(({ start, weights }, column) => {
    for (let row = 0; row < height; row++) {
      let sum = HALF;
      for (let i = 0, at = row * width + start; i < weights.length; i++, at++) sum += greys[at] * weights[i];
      made[row * to + column] = clip(sum);
    }
  });
  return { width: to, height, greys: made };
}

function resizeColumns({ width, height, greys }, to) {
  const made = new Uint8Array(width * to);
  const sums = new Int32Array(width);
  windows(height, to).forEach(({ start, weights }, row) => {
    sums.fill(HALF);
    weights.forEach((weight, i) => {
      for (let column = 0, at = (start + i) * width; column < width; column++, at++) sums[column] += greys[at] * weight;
    });
    for (let column = 0; column < width; column++) made[row * width + column] = clip(sums[column]);
  });
  return { width, height: to, greys: made };
}

/** The greys with an even histogram, in single precision as OpenCV computes it. */
export function equalize(greys) {
  const counts = new Uint32Array(256);
  for (const grey of greys) counts[grey]++;
  const first = counts.findIndex((count) => count > 0);
  if (counts[first] === greys.length) return greys.slice();
  const scale = Math.fround(255 / (greys.length - counts[first]));
  const table = new Uint8Array(256);
  for (let grey = first + 1, sum = 0; grey < 256; grey++) {
    sum += counts[grey];
    table[grey] = roundToEven(Math.fround(sum * scale));
  }
  return greys.map((grey) => table[grey]);
}

/** The nearest integer, the even one of two: NumPy's rint. */
export function roundToEven(value) {
  const below = Math.floor(value);
  if (value - below === 0.5) return below % 2 === 0 ? below : below + 1;
  return Math.round(value);
}
