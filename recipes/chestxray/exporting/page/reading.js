/** A person's own file as a grey picture: PNG, JPEG or DICOM, found by its content and not by its name. */

import { isDicom, readDicom } from "./dicom.js";
import { isJpeg, readJpeg } from "./jpeg.js";
import { MOST_PIXELS } from "./picture.js";
import { isPng, readPng } from "./png.js";
import { Unreadable } from "./unreadable.js";

export const MOST_BYTES = 8 * MOST_PIXELS; // of a file: four channels of 16 bits
const BEGINNINGS = [
  ["II*\0", "a TIFF file, which this page does not read: save it as PNG first, or use predict.py"],
  ["MM\0*", "a TIFF file, which this page does not read: save it as PNG first, or use predict.py"],
  ["PK\x03\x04", "an archive: unpack it first"],
  ["\x1f\x8b", "an archive: unpack it first"],
  ["%PDF", "a PDF document: save its picture as PNG first"],
];

/** {width, height, greys} of a Blob. Throws Unreadable. */
export async function readPicture(file) {
  if (file.size === 0) throw new Unreadable("it is empty");
  if (file.size > MOST_BYTES) throw new Unreadable(`it has more than ${MOST_BYTES.toLocaleString("en")} bytes`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPng(bytes)) return readPng(bytes);
  if (isJpeg(bytes)) return readJpeg(bytes);
  if (isDicom(bytes)) return readDicom(bytes);
  const beginning = String.fromCharCode(...bytes.subarray(0, 4));
  const known = BEGINNINGS.find(([mark]) => beginning.startsWith(mark));
  throw new Unreadable(known ? `it is ${known[1]}` : "it is no PNG, JPEG or DICOM file, or its beginning is damaged");
}
