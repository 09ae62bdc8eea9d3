/** The orientation in Exif data, which are a small TIFF file: 1 to 8; 1 where there is none. */

const ORIENTATION = 0x0112;
const SHORT = 3; // a type of TIFF 6.0, section 2

export function orientationOf(bytes) {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const little = view.getUint16(0) === 0x4949;
    if (!little && view.getUint16(0) !== 0x4d4d) return 1;
    const start = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(start, little); i++) {
      const entry = start + 2 + 12 * i;
      const isOrientation = view.getUint16(entry, little) === ORIENTATION && view.getUint16(entry + 2, little) === SHORT;
      if (isOrientation) return view.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut off: no orientation
  }
  return 1;
}
