/** No grey picture comes from a file. The message is the reason alone, in words that go on from "cannot be read: ". */
export class Unreadable extends Error {}
