/** The picture, and over it where the model has its evidence for one finding. */

const CELLS = 128; // side of the frame in which a map is drawn, as the reports have it
const STRONGEST = 0.62; // how opaque the strongest evidence is
// Matplotlib's inferno at 0, 1/8, ..., 1
const SHADES = [[0, 0, 4], [32, 12, 74], [87, 16, 110], [136, 34, 106], [188, 55, 84], [227, 89, 51], [249, 142, 9], [249, 203, 53], [252, 255, 164]]; // prettier-ignore

export function drawPicture(canvas, { width, height, greys }) {
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const colours = new Uint32Array(image.data.buffer); // little endian: the opaque byte is the highest one
  for (let i = 0; i < greys.length; i++) colours[i] = 0xff000000 + 0x010101 * greys[i];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draw a map over the part of the picture that the model sees, the middle `share` of each side; null clears it. */
export function drawHeatmap(canvas, { width, height }, map, share) {
  [canvas.width, canvas.height] = [width, height];
  if (!map) return;
  const small = new OffscreenCanvas(CELLS, CELLS);
  small.getContext("2d").putImageData(colourMap(map), 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const [x, y] = [((1 - share) / 2) * width, ((1 - share) / 2) * height];
  context.drawImage(small, x, y, share * width, share * height);
}

/** A map {data, rows, columns, places} as colours: its lowest value transparent, its highest one bright. */
function colourMap({ data, rows, columns, places }) {
  const [down, across] = (places ?? [even(rows), even(columns)]).map((middles) => Float64Array.from({ length: CELLS }, (_, i) => place(i, middles)));
  const low = Math.min(...data);
  const range = Math.max(...data) - low;
  const image = new ImageData(CELLS, CELLS);
  for (let i = 0; i < CELLS * CELLS; i++) {
    const [y, x] = [down[Math.floor(i / CELLS)], across[i % CELLS]];
    const share = range > 0 ? (between(data, columns, rows, y, x) - low) / range : 0;
    image.data.set([...shadeOf(share), Math.round(255 * STRONGEST * share)], 4 * i);
  }
  return image;
}

/** The middles of equal parts. */
const even = (count) => Array.from({ length: count }, (_, i) => (i + 0.5) / count);

/** The number, with a fraction, of the row (or column) that looks at a cell of the frame. */
function place(cell, middles) {
  const at = (cell + 0.5) / CELLS;
  const after = middles.findIndex((middle) => middle > at);
  if (after === 0) return 0;
  if (after < 0) return middles.length - 1;
  return after - 1 + (at - middles[after - 1]) / (middles[after] - middles[after - 1]);
}

/** The bilinear value between the places of a map. */
function between(data, columns, rows, y, x) {
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [bottom, right] = [Math.min(rows - 1, top + 1), Math.min(columns - 1, left + 1)];
  const along = (row) => data[row * columns + left] * (1 - x + left) + data[row * columns + right] * (x - left);
  return along(top) * (1 - y + top) + along(bottom) * (y - top);
}

export function shadeOf(share) {
  const at = share * (SHADES.length - 1);
  const first = Math.min(SHADES.length - 2, Math.floor(at));
  return SHADES[first].map((from, i) => Math.round(from + (SHADES[first + 1][i] - from) * (at - first)));
}
