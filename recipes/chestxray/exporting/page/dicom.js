/** A DICOM file as the grey picture that a viewer shows, by the standard. The steps are those of
 *  chestxray/dicom/display.py: rescale or modality table, window or table of interest, inversion last. */

import { readElements } from "./dicom_elements.js";
import { Header, refuseOtherPictures, refuseUndrawable } from "./dicom_header.js";
import { readJpeg } from "./jpeg.js";
import { roundToEven } from "./shrink.js";
import { Unreadable } from "./unreadable.js";

export { isDicom } from "./dicom_elements.js";

export async function readDicom(bytes) {
  const header = new Header(readElements(bytes));
  refuseUndrawable(header);
  refuseOtherPictures(header);
  const [height, width] = [header.number("Rows"), header.number("Columns")];
  const codes = header.isCompressed ? await decode(header, width, height) : storedCodes(header, width * height);
  const table = greysOfCodes(header); // all steps in one table, so that each pixel is read once
  return { width, height, greys: Uint8Array.from(codes, (code) => table[code]) };
}

function storedCodes(header, count) {
  const data = header.pixels.data ?? new Uint8Array(0);
  const width = header.number("BitsAllocated") / 8;
  if (data.length < count * width) throw new Unreadable("it is cut off");
  if (width === 1) return data.subarray(0, count);
  return new Uint16Array(data.slice(0, 2 * count).buffer); // little endian, as all machines with browsers are
}

/** The pixels of a JPEG. */
async function decode(header, width, height) {
  const data = new Uint8Array(await new Blob(header.pixels.fragments ?? []).arrayBuffer());
  const found = await readJpeg(data);
  if (found.width !== width || found.height !== height || header.number("BitsAllocated") !== 8) {
    throw new Unreadable("it is a damaged DICOM file: its pixels do not fit its header");
  }
  return found.greys;
}

/** The grey of each code that a pixel may have. */
function greysOfCodes(header) {
  const bits = header.number("BitsAllocated");
  const isInverted =
    header.text("PhotometricInterpretation") === "MONOCHROME1" || header.text("PresentationLUTShape") === "INVERSE";
  const share = shareOf(header);
  return Uint8Array.from({ length: 1 << bits }, (_, code) => {
    const bright = Math.min(1, Math.max(0, share(storedValue(code, header, bits))));
    return roundToEven((isInverted ? 1 - bright : bright) * 255);
  });
}

/** The value of a code: the bits beyond those stored do not count, except in what a decoder gave. */
function storedValue(code, header, bits) {
  const kept = header.isCompressed ? bits : header.number("BitsStored");
  const shift = 32 - kept;
  return isSigned(header) ? (code << shift) >> shift : (code << shift) >>> shift;
}

const isSigned = (header) => header.number("PixelRepresentation", 0) === 1;

/** A function from a stored value to how bright it is before the inversion: 0 black, 1 white, beyond them as well. */
function shareOf(header) {
  const modality = modalityOf(header);
  const [window, table] = [firstWindow(header), header.table("VOILUTSequence")];
  if (table) return (stored) => lookUp(modality.value(stored), table) / (2 ** table.depth - 1);
  if (window) {
    const share = windowShare(window, header.text("VOILUTFunction").toUpperCase() || "LINEAR");
    return (stored) => share(modality.value(stored));
  }
  return (stored) => (modality.value(stored) - modality.low) / (modality.high - modality.low);
}

/** The modality's value of a stored value, and the lowest and highest one that the stored bits can give. */
function modalityOf(header) {
  const table = header.table("ModalityLUTSequence");
  if (table) return { value: (stored) => lookUp(stored, table), low: 0, high: 2 ** table.depth - 1 };
  const slope = header.number("RescaleSlope", 1) || 1;
  const intercept = header.number("RescaleIntercept", 0);
  const range = 2 ** header.number("BitsStored");
  const lowest = isSigned(header) ? -range / 2 : 0;
  const ends = [lowest, lowest + range - 1].map((end) => end * slope + intercept);
  return { value: (stored) => stored * slope + intercept, low: Math.min(...ends), high: Math.max(...ends) };
}

/** [centre, width] of the first window; null if there is none, or if it has no width. */
function firstWindow(header) {
  const [centre, width] = [header.number("WindowCenter"), header.number("WindowWidth")];
  return width > 0 && !Number.isNaN(centre) ? [centre, width] : null;
}

/** The window's functions, PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2. */
function windowShare([centre, width], kind) {
  if (kind === "SIGMOID") return (value) => 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (kind === "LINEAR_EXACT") return (value) => (value - centre) / width + 0.5;
  if (kind !== "LINEAR") throw new Unreadable("it is a damaged DICOM file: its VOILUTFunction is not of the standard");
  return (value) => (value - (centre - 0.5)) / Math.max(width - 1, 1e-6) + 0.5; // a width of 1 is a step
}

/** The entry of a value; the first or last entry for values beyond the table. */
function lookUp(value, { first, entries }) {
  return entries[Math.min(entries.length - 1, Math.max(0, roundToEven(value - first)))];
}
