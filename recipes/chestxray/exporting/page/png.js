/** A PNG file as a grey picture, by the standard (ISO/IEC 15948), with the greys that Pillow gives. */

import { orientationOf } from "./exif.js";
import { MOST_PIXELS, greyOf, greysOfIntegers, turn } from "./picture.js";
import { Unreadable } from "./unreadable.js";

const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // of a pixel, by colour type
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const PALETTE = 3;
// The seven passes of Adam7: first column, first row, and the steps between them
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]; // prettier-ignore
const CRC = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let bit = 0; bit < 8; bit++) i = i & 1 ? 0xedb88320 ^ (i >>> 1) : i >>> 1;
  return i;
});

export const isPng = (bytes) => [137, 80, 78, 71, 13, 10, 26, 10].every((byte, i) => bytes[i] === byte);

export async function readPng(bytes) {
  const { header, palette, orientation, parts } = readChunks(bytes);
  const plane = new (header.depth === 16 && header.kind === 0 ? Uint16Array : Uint8Array)(header.width * header.height);
  await unpackRows(header, parts, greysOfRow(header, palette), plane);
  const greys = plane instanceof Uint16Array ? greysOfIntegers(plane) : plane;
  return turn({ width: header.width, height: header.height, greys }, orientation);
}

/** What the chunks hold: header, palette, orientation, and the parts of the compressed pixels. */
function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { header: null, palette: null, orientation: 1, parts: [] };
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (type === "IEND") break;
    const isWhole = at + 12 + length <= bytes.length;
    if (type === "IHDR" || type === "PLTE") {
      const whole = isWhole && view.getUint32(at + 8 + length) === checksum(bytes.subarray(at + 4, at + 8 + length));
      if (!whole) throw new Unreadable("it is damaged, or cut off at its beginning");
    }
    if (type === "IHDR") found.header = readHeader(data);
    if (type === "PLTE") found.palette = data;
    if (type === "IDAT") found.parts.push(data);
    if (type === "eXIf") found.orientation = orientationOf(data);
    if (type === "acTL" && data.length >= 4) refuseSeveral(view.getUint32(at + 8));
    at += 12 + length;
  }
  if (!found.header || !found.parts.length) throw new Unreadable("it is cut off, or holds no picture");
  return found;
}

function checksum(data) {
  let crc = -1;
  for (const byte of data) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function refuseSeveral(count) {
  if (count > 1) throw new Unreadable(`it holds ${count} pictures, a radiograph is one: save the one that you mean`);
}

function readHeader(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length !== 13) throw new Unreadable("it is damaged at its beginning");
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, kind, interlaced] = [data[8], data[9], data[12] === 1];
  if (width * height > MOST_PIXELS) throw tooLarge(width, height);
  if (!width || !height || !DEPTHS[kind]?.includes(depth)) throw new Unreadable("it is damaged at its beginning");
  return { width, height, depth, kind, interlaced };
}

export function tooLarge(width, height) {
  const most = MOST_PIXELS.toLocaleString("en");
  return new Unreadable(`it has ${width} × ${height} pixels, more than ${most}: make it smaller`);
}

/** Decompress the rows, undo their filters, and put each row's greys into the plane. */
async function unpackRows(header, parts, putRow, plane) {
  const bits = header.depth * SAMPLES[header.kind];
  const stream = byteStream(parts);
  const passes = header.interlaced ? PASSES : [[0, 0, 1, 1]];
  for (const [left, top, across, down] of passes) {
    const columns = Math.ceil((header.width - left) / across);
    const length = Math.ceil((columns * bits) / 8);
    let above = new Uint8Array(length);
    for (let row = top; columns > 0 && row < header.height; row += down) {
      const line = await stream.take(length + 1);
      const current = line.subarray(1);
      unfilter(line[0], current, above, Math.ceil(bits / 8));
      putRow(current, columns, plane, row * header.width + left, across);
      above = current;
    }
  }
  stream.end();
}

/** The decompressed bytes, taken piece by piece, so that no file can fill the memory. */
function byteStream(parts) {
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let [chunk, at] = [new Uint8Array(0), 0];
  const next = async () => {
    const { done, value } = await reader.read().catch((error) => {
      throw new Unreadable("it is damaged, or cut off", { cause: error });
    });
    if (done) throw new Unreadable("it is cut off");
    [chunk, at] = [value, 0];
  };
  return {
    async take(count) {
      const taken = new Uint8Array(count);
      for (let filled = 0; filled < count; ) {
        if (at === chunk.length) await next();
        const part = chunk.subarray(at, at + count - filled);
        taken.set(part, filled);
        [at, filled] = [at + part.length, filled + part.length];
      }
      return taken;
    },
    end: () => reader.cancel().catch(() => {}),
  };
}

/** Undo the filter of a row in place. step: bytes from a sample to the one of the pixel before it. */
function unfilter(filter, row, above, step) {
  const n = row.length;
  if (filter === 1) for (let i = step; i < n; i++) row[i] += row[i - step];
  else if (filter === 2) for (let i = 0; i < n; i++) row[i] += above[i];
  else if (filter === 3) for (let i = 0; i < n; i++) row[i] += ((i < step ? 0 : row[i - step]) + above[i]) >> 1;
  else if (filter === 4) unfilterPaeth(row, above, step);
  else if (filter !== 0) throw new Unreadable("it is damaged");
}

function unfilterPaeth(row, above, step) {
  for (let i = 0; i < Math.min(step, row.length); i++) row[i] += above[i];
  for (let i = step; i < row.length; i++) {
    const [left, up, corner] = [row[i - step], above[i], above[i - step]];
    const toLeft = Math.abs(up - corner);
    const toUp = Math.abs(left - corner);
    const toCorner = Math.abs(left + up - 2 * corner);
    row[i] += toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
  }
}

/** A function that puts the greys of one row's bytes into a plane. Of 16-bit colours the upper byte counts. */
function greysOfRow({ depth, kind }, palette) {
  if (depth < 8 || kind === PALETTE) return packedRow(depth, kind === PALETTE ? greysOfPalette(palette) : null);
  const [bytes, samples] = [depth / 8, SAMPLES[kind]];
  const step = bytes * samples;
  if (kind === 0 && bytes === 2) return eachPixel((row, i) => (row[2 * i] << 8) | row[2 * i + 1]);
  if (samples < 3) return eachPixel((row, i) => row[i * step]);
  return eachPixel((row, i) => greyOf(row[i * step], row[i * step + bytes], row[i * step + 2 * bytes]));
}

function eachPixel(greyAt) {
  return (row, columns, plane, start, across) => {
    for (let i = 0; i < columns; i++) plane[start + i * across] = greyAt(row, i);
  };
}

/** Pixels of up to 8 bits, the first one in the highest bits: greys over the full range, or places in a palette. */
function packedRow(depth, greys) {
  const mask = (1 << depth) - 1;
  return eachPixel((row, i) => {
    const code = (row[(i * depth) >> 3] >> (8 - depth - ((i * depth) & 7))) & mask;
    return greys ? greys[code] : (code * 255) / mask;
  });
}

/** The grey of each place. A place beyond the palette is itself a grey, as in Pillow. */
function greysOfPalette(palette) {
  if (!palette) throw new Unreadable("it is damaged: it has no palette");
  return Uint8Array.from({ length: 256 }, (_, i) =>
    3 * i + 2 < palette.length ? greyOf(palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) : i,
  );
}
