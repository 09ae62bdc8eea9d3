/** What a DICOM header says, by keyword; and whether it says that the file is no frontal chest radiograph.
 *  The rules are those of chestxray/dicom/chest_header.py. */

import { ADVICE, EXPLICIT, IMPLICIT, PIXELS, text } from "./dicom_elements.js";
import { MOST_PIXELS } from "./picture.js";
import { Unreadable } from "./unreadable.js";

const TAGS = {
  Modality: 0x00080060,
  PresentationIntentType: 0x00080068,
  BodyPartExamined: 0x00180015,
  ViewPosition: 0x00185101,
  SamplesPerPixel: 0x00280002,
  PhotometricInterpretation: 0x00280004,
  NumberOfFrames: 0x00280008,
  Rows: 0x00280010,
  Columns: 0x00280011,
  BitsAllocated: 0x00280100,
  BitsStored: 0x00280101,
  PixelRepresentation: 0x00280103,
  BurnedInAnnotation: 0x00280301,
  WindowCenter: 0x00281050,
  WindowWidth: 0x00281051,
  RescaleIntercept: 0x00281052,
  RescaleSlope: 0x00281053,
  VOILUTFunction: 0x00281056,
  ModalityLUTSequence: 0x00283000,
  VOILUTSequence: 0x00283010,
  ViewCodeSequence: 0x00540220,
  PresentationLUTShape: 0x20500020,
};
const [CODE_MEANING, DESCRIPTOR, TABLE] = [0x00080104, 0x00283002, 0x00283006];
const SAYS_NO = {
  Modality: /^(?!(CR|DX|DR)$).+$/s,
  BodyPartExamined: /^(?!(CHEST|THORAX|LUNGS?)(?!.*ABD)).+$/s,
  ViewPosition: /^(.*LAT.*|LL|RL|[LR][AP]O|[LR]LO|SWIMMERS)$/s,
  PresentationIntentType: /^FOR PROCESSING$/, // values of the detector, not of a picture
  BurnedInAnnotation: /^YES$/, // text in the pixels, which may be a name
};
const CODE = /^(FOR PROCESSING|[A-Z0-9_]{1,16})$/; // what a message may show: no text that somebody typed
const OTHER_VIEW = /lateral|oblique/i;
export const BASELINE = "1.2.840.10008.1.2.4.50";
const COMPRESSIONS = [
  [/^1\.2\.840\.10008\.1\.2\.4\.51$/, "JPEG of 12 bits"],
  [/^1\.2\.840\.10008\.1\.2\.4\.(57|70)$/, "lossless JPEG"],
  [/^1\.2\.840\.10008\.1\.2\.4\.8[01]$/, "JPEG-LS"],
  [/^1\.2\.840\.10008\.1\.2\.4\.(9[0-3]|20[1-3])$/, "JPEG 2000"],
  [/^1\.2\.840\.10008\.1\.2\.5$/, "RLE"],
];

export class Header {
  constructor({ syntax, elements }) {
    [this.syntax, this.elements] = [syntax, elements];
  }

  get isCompressed() {
    return ![EXPLICIT, IMPLICIT].includes(this.syntax);
  }

  get pixels() {
    return this.elements.get(PIXELS);
  }

  text(keyword) {
    return text(this.elements.get(TAGS[keyword])).replace(/\0+$/, "").trim();
  }

  /** A number of 16 bits, or of a text; the first of several. `otherwise` where there is none. */
  number(keyword, otherwise = NaN) {
    const element = this.elements.get(TAGS[keyword]);
    if (!element?.data?.length) return otherwise;
    if (BINARY.includes(keyword)) return element.data[0] | (element.data[1] << 8);
    const found = Number(this.text(keyword).split("\\")[0].trim());
    if (this.text(keyword) && !Number.isFinite(found)) throw new Unreadable("it is a damaged DICOM file");
    return this.text(keyword) ? found : otherwise;
  }

  /** {first, entries, depth} of the table in a sequence (PS3.3 C.11.1.1), null where there is none. */
  table(keyword) {
    const item = this.elements.get(TAGS[keyword])?.items?.[0];
    if (!item) return null;
    const [descriptor, data] = [item.get(DESCRIPTOR), item.get(TABLE)];
    if (!(descriptor?.data?.length >= 6) || !data?.data?.length) throw new Unreadable("it is a damaged DICOM file");
    const signed = descriptor.type ? descriptor.type === "SS" : this.number("PixelRepresentation", 0) === 1;
    const [count, start, depth] = words(descriptor.data);
    const entries = count || 1 << 16;
    const wide = data.type === "US" || data.type === "SS" || data.data.length >= 2 * entries;
    const values = wide ? words(data.data) : [...data.data];
    return { first: signed ? (start << 16) >> 16 : start, entries: values.slice(0, entries), depth };
  }

  get viewMeaning() {
    return text(this.elements.get(TAGS.ViewCodeSequence)?.items?.[0]?.get(CODE_MEANING));
  }
}

const BINARY = ["SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"];
const words = (data) => Array.from({ length: data.length >> 1 }, (_, i) => data[2 * i] | (data[2 * i + 1] << 8));
const shown = (value) => (CODE.test(value) ? value : "another one");

/** Throw, with the tag, unless the file holds one grey picture that can be decoded here. */
export function refuseUndrawable(header) {
  if (!header.pixels) throw new Unreadable("it is a DICOM file without PixelData: it is cut off, or no picture");
  const [frames, photometric] = [header.number("NumberOfFrames", 1) || 1, header.text("PhotometricInterpretation")];
  if (frames !== 1) throw new Unreadable(`it has several frames, a radiograph has one: NumberOfFrames is ${frames}`);
  if (header.number("SamplesPerPixel") !== 1 || !["MONOCHROME1", "MONOCHROME2"].includes(photometric)) {
    throw new Unreadable(`it is in colour, a radiograph is grey: PhotometricInterpretation is ${shown(photometric)}`);
  }
  const [bits, rows, columns] = ["BitsAllocated", "Rows", "Columns"].map((keyword) => header.number(keyword));
  if (bits !== 8 && bits !== 16) throw new Unreadable(`its pixels have neither 8 nor 16 bits: BitsAllocated is ${bits}`);
  if (!(rows * columns > 0)) throw new Unreadable("it is a damaged DICOM file: it has no Rows or Columns");
  if (rows * columns > MOST_PIXELS) {
    const most = MOST_PIXELS.toLocaleString("en");
    throw new Unreadable(`it has more than ${most} pixels: Rows × Columns is ${rows} × ${columns}`);
  }
  if (header.isCompressed && header.syntax !== BASELINE) {
    const name = COMPRESSIONS.find(([pattern]) => pattern.test(header.syntax))?.[1] ?? "another kind";
    throw new Unreadable(`its pixels are compressed (${name}), which this page does not read: ${ADVICE}`);
  }
}

/** Throw, with the tag that says so, for a file that is no frontal chest radiograph by its header. */
export function refuseOtherPictures(header) {
  for (const [keyword, saysNo] of Object.entries(SAYS_NO)) {
    const value = header.text(keyword).toUpperCase();
    if (saysNo.test(value)) throw noFrontalChest(`${keyword} is ${shown(value)}`);
  }
  const view = OTHER_VIEW.exec(header.viewMeaning);
  if (view) throw noFrontalChest(`ViewCodeSequence is ${view[0].toLowerCase()}`);
}

const noFrontalChest = (reason) => new Unreadable(`it is no frontal chest radiograph by its header: ${reason}`);
