/** A grey picture: its size, and 8-bit greys row by row. */

export const MOST_PIXELS = 1 << 26; // 8192 × 8192, as predict.py: four times the largest detector's
const DEPTHS = [8, 10, 12, 14, 16]; // bits of a pixel as detectors have them, as images/grey.py

/** The grey of a colour in Pillow's own arithmetic: ITU-R 601-2, with 16 bits behind the point. */
export const greyOf = (red, green, blue) => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;

/** Colours (4 bytes each, the last one ignored) as greys. */
export function greysOfColours(colours) {
  const greys = new Uint8Array(colours.length / 4);
  for (let i = 0, j = 0; i < greys.length; i++, j += 4) greys[i] = greyOf(colours[j], colours[j + 1], colours[j + 2]);
  return greys;
}

/** The upper 8 bits of 16-bit values. The depth is the smallest one in which the largest value fits. */
export function greysOfIntegers(values) {
  let high = 0;
  for (const value of values) if (value > high) high = value;
  const shift = DEPTHS.find((depth) => high < 1 << depth) - 8;
  return Uint8Array.from(values, (value) => value >> shift);
}

/** The same picture the right way up. orientation: 1 to 8, as Exif has it; others change nothing. */
export function turn(picture, orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return picture;
  const { width, height, greys } = picture;
  const swaps = orientation >= 5;
  const [columns, rows] = swaps ? [height, width] : [width, height];
  const fromRight = [2, 3, 7, 8].includes(orientation); // where the source's column starts
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  const turned = new Uint8Array(greys.length);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const [x, y] = swaps ? [row, column] : [column, row];
      turned[i] = greys[(fromBottom ? height - 1 - y : y) * width + (fromRight ? width - 1 - x : x)];
    }
  }
  return { width: columns, height: rows, greys: turned };
}
