/** A JPEG file as a grey picture. The browser decodes; what it would hide is looked for before, in the markers. */

import { MOST_PIXELS, greysOfColours } from "./picture.js";
import { tooLarge } from "./png.js";
import { Unreadable } from "./unreadable.js";

const [START, END, SCAN] = [0xd8, 0xd9, 0xda];
const NOT_FRAMES = [0xc4, 0xc8, 0xcc]; // among 0xc0 to 0xcf: tables
const DECODED = [0xc0, 0xc1, 0xc2]; // baseline, extended, progressive

export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === START && bytes[2] === 0xff;

export async function readJpeg(bytes) {
  const frame = readMarkers(bytes);
  if (frame.width * frame.height > MOST_PIXELS) throw tooLarge(frame.width, frame.height);
  if (!DECODED.includes(frame.kind)) throw new Unreadable("it is a lossless or arithmetic JPEG: save it as PNG first");
  if (frame.depth !== 8) throw new Unreadable(`its JPEG has ${frame.depth} bits, browsers decode 8: save it as PNG`);
  if (![1, 3].includes(frame.samples)) throw new Unreadable("its colours are CMYK: save it as a grey picture first");
  return decode(bytes);
}

/** The frame: width, height, kind, bits, samples. A file without its end is refused: a browser would fill it up. */
function readMarkers(bytes) {
  let frame = null;
  for (let at = 2; at + 1 < bytes.length; ) {
    if (bytes[at] !== 0xff) throw new Unreadable("it is damaged");
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1; // a byte that fills up
      continue;
    }
    if (marker === END && frame) return frame;
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    if (marker >= 0xc0 && marker <= 0xcf && !NOT_FRAMES.includes(marker)) frame ??= readFrame(marker, bytes, at + 4);
    at += 2 + length;
    if (marker === SCAN) at = afterScan(bytes, at);
  }
  throw new Unreadable("it is cut off");
}

function readFrame(kind, bytes, at) {
  const [depth, samples] = [bytes[at], bytes[at + 5]];
  const [height, width] = [(bytes[at + 1] << 8) | bytes[at + 2], (bytes[at + 3] << 8) | bytes[at + 4]];
  return { kind, depth, samples, width, height };
}

/** Where the next marker is behind the data of a scan, in which 0xff is followed by 0 or by a restart marker. */
function afterScan(bytes, at) {
  for (; at + 1 < bytes.length; at++) {
    const next = bytes[at + 1];
    if (bytes[at] === 0xff && next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at;
  }
  return bytes.length;
}

/** Whether the browser gives other pixels than were drawn, as some do so that visitors are not recognised. */
function changesPixels() {
  const context = new OffscreenCanvas(16, 16).getContext("2d", { willReadFrequently: true });
  const drawn = new ImageData(16, 16);
  drawn.data.forEach((_, i) => (drawn.data[i] = i % 4 === 3 ? 255 : (i * 37) % 251));
  context.putImageData(drawn, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.some((value, i) => value !== drawn.data[i]);
}

async function decode(bytes) {
  if (changesPixels()) {
    throw new Unreadable("this browser changes the pixels that a page reads, against tracking: save it as PNG");
  }
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }), options).catch((error) => {
    throw new Unreadable("it is damaged", { cause: error });
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, greys: greysOfColours(context.getImageData(0, 0, width, height).data) };
}
