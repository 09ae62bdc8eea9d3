/** The elements of a DICOM file, by PS3.5 section 7 and PS3.10: little endian, with explicit or implicit types. */

import { Unreadable } from "./unreadable.js";

const MARK_AT = 128; // where a DICOM file has the letters DICM, PS3.10 section 7.1
const LONG = ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]; // lengths of 4 bytes
const SHORT = ["AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"]; // prettier-ignore
const UNDEFINED = 0xffffffff;
const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const DEEPEST = 16; // sequences in sequences
export const PIXELS = 0x7fe00010;
export const EXPLICIT = "1.2.840.10008.1.2.1";
export const IMPLICIT = "1.2.840.10008.1.2";
const SEQUENCES = [0x00283000, 0x00283010, 0x00540220]; // the ones that are read, where types are implicit
// Syntaxes whose elements are not little endian, or are compressed as a whole
const OTHER_FORMS = {
  "1.2.840.10008.1.2.1.99": "is deflated",
  "1.2.840.10008.1.2.2": "is big endian",
};

export const isDicom = (bytes) => String.fromCharCode(...bytes.subarray(MARK_AT, MARK_AT + 4)) === "DICM";

/** {syntax, elements}: the transfer syntax, and a Map from a tag to {type, data} or {items} or {fragments}. */
export function readElements(bytes) {
  const reader = new Reader(bytes, MARK_AT + 4);
  const meta = reader.elements(bytes.length, true, 0, (tag) => tag >>> 16 === 2);
  const syntax = text(meta.get(0x00020010)).replace(/\0+$/, "");
  if (OTHER_FORMS[syntax]) {
    throw new Unreadable(`it is a DICOM file that ${OTHER_FORMS[syntax]}, which this page does not read: ${ADVICE}`);
  }
  if (!syntax) throw new Unreadable("it is a damaged DICOM file: it does not say how it is stored");
  return { syntax, elements: reader.elements(bytes.length, syntax !== IMPLICIT, 0, () => true) };
}

export const ADVICE = "store it uncompressed first, or use predict.py";

/** The text of an element, without padding; "" where there is none. */
export const text = (element) => (element?.data ? new TextDecoder("latin1").decode(element.data).trim() : "");

class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  /** The elements up to an end, as long as their tags are wanted. Of a file that is cut off, what is there. */
  elements(end, isExplicit, depth, isWanted) {
    if (depth > DEEPEST) throw damaged();
    const found = new Map();
    let last = -1;
    while (this.at + 8 <= end) {
      const tag = this.tag(this.at);
      if (!isWanted(tag)) break;
      if (tag === ITEM_END) {
        this.at += 8;
        break;
      }
      if (tag <= last) throw damaged(); // PS3.5, section 7.1: each has a higher tag than the one before it
      last = tag;
      found.set(tag, this.element(tag, end, isExplicit, depth));
    }
    return found;
  }

  element(tag, end, isExplicit, depth) {
    const { type, length } = this.head(tag, isExplicit);
    if (tag === PIXELS && length === UNDEFINED) return { type, fragments: this.fragments(end) };
    if (type === "SQ" || length === UNDEFINED) {
      return { type, items: this.items(length === UNDEFINED ? end : this.at + length, isExplicit && type !== "UN", depth) };
    }
    const data = this.bytes.subarray(this.at, Math.min(this.at + length, end));
    this.at += length;
    return { type, data };
  }

  /** Type and length of an element; the reader then stands at its value. */
  head(tag, isExplicit) {
    const type = isExplicit ? String.fromCharCode(this.bytes[this.at + 4], this.bytes[this.at + 5]) : typeOf(tag);
    const isLong = isExplicit && LONG.includes(type);
    if (isExplicit && !isLong && !SHORT.includes(type)) throw damaged();
    const [place, width] = isLong ? [8, 4] : isExplicit ? [6, 2] : [4, 4];
    if (this.at + place + width > this.bytes.length) throw damaged();
    const length = width === 4 ? this.view.getUint32(this.at + place, true) : this.view.getUint16(this.at + place, true);
    this.at += place + width;
    return { type, length };
  }

  items(end, isExplicit, depth) {
    const found = [];
    while (this.at + 8 <= end) {
      const [tag, length] = this.itemHead();
      if (tag === SEQUENCE_END) break;
      if (tag !== ITEM) throw damaged();
      const stop = length === UNDEFINED ? end : Math.min(this.at + length, end);
      found.push(this.elements(stop, isExplicit, depth + 1, () => true));
      if (length !== UNDEFINED) this.at = stop;
    }
    return found;
  }

  /** The fragments of compressed pixels, without the table of offsets (PS3.5, section A.4). */
  fragments(end) {
    const found = [];
    while (this.at + 8 <= end) {
      const [tag, length] = this.itemHead();
      if (tag !== ITEM) break;
      if (this.at + length > end) throw new Unreadable("it is cut off");
      found.push(this.bytes.subarray(this.at, this.at + length));
      this.at += length;
    }
    return found.slice(1);
  }

  itemHead() {
    const head = [this.tag(this.at), this.view.getUint32(this.at + 4, true)];
    this.at += 8;
    return head;
  }

  /** Group and element as one number; the reader does not move. */
  tag(at) {
    return this.view.getUint16(at, true) * 0x10000 + this.view.getUint16(at + 2, true);
  }
}

const typeOf = (tag) => (SEQUENCES.includes(tag) ? "SQ" : "");
const damaged = () => new Unreadable("it is a damaged DICOM file");
