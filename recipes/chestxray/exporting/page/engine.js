/** The model, in a worker: so the page answers while the model thinks. Messages in: {open} and {id, file}. Messages out:
 *  {progress}, {ready}, {failed}; and for each file {id, result} or {id, refused}. */

import { readPicture } from "./reading.js";
import { resize, shrink } from "./shrink.js";
import { Unreadable } from "./unreadable.js";

const SHOWN = 1024; // longer side of the picture that the page draws, pixels
const CLOSE = 1e-3; // how far a probability of the example may be from the one that was computed at the export
const BUILDS = {
  webgpu: { script: "ort.jspi.min.js", glue: "ort-wasm-simd-threaded.jspi.js", wasm: "ort-wasm-simd-threaded.jspi.wasm" },
  wasm: { script: "ort.wasm.min.js", glue: "ort-wasm-simd-threaded.js", wasm: "ort-wasm-simd-threaded.wasm" },
};
let [about, run] = [null, null];

self.onmessage = async ({ data }) => {
  try {
    if (data.open) await open();
    else await answer(data);
  } catch (error) {
    if (data.open) self.postMessage({ failed: String(error?.message ?? error) });
    else if (error instanceof Unreadable) self.postMessage({ id: data.id, refused: `cannot be read: ${error.message}` });
    else self.postMessage({ id: data.id, refused: `cannot be read: it needs more than this browser has (${error?.name})` });
  }
};

/** Load the model with the first build that gives the example's numbers. */
async function open() {
  about = await (await fetchWhole("model.json")).json();
  const model = await fetchWithProgress("model.onnx", about.bytes);
  const example = await readPicture(await (await fetchWhole("example.png")).blob());
  const names = (await hasWebGpu()) ? ["webgpu", "wasm"] : ["wasm"];
  const reasons = [];
  for (const name of names) {
    try {
      run = await start(name, model);
      checkExample(await run(example));
      self.postMessage({ ready: about, backend: name });
      return;
    } catch (error) {
      reasons.push(`${name}: ${error?.message ?? error}`);
    }
  }
  throw new Error(reasons.join("; "));
}

/** Whether the browser has WebGPU, and WebAssembly that can wait for it. */
async function hasWebGpu() {
  if (!navigator.gpu || !("Suspending" in WebAssembly)) return false;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter; // one that computes on the processor is slower than wasm
}

/** A function from a picture to {name of an output: {data, dims}}. */
async function start(name, model) {
  const build = BUILDS[name];
  const ort = await import(`./${build.script}`);
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false }); // more threads need headers that plain hosts do not send
  ort.env.wasm.wasmPaths = { mjs: urlOf(build.glue), wasm: urlOf(build.wasm) };
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: [name], logSeverityLevel: 3 });
  return async (picture) => {
    const pixels = shrink(picture, about.size, about.equalize);
    const shape = [1, 1, about.size, about.size];
    const found = await session.run({ pixels: new ort.Tensor("uint8", pixels, shape) });
    return Object.fromEntries(Object.entries(found).map(([key, { data, dims }]) => [key, { data, dims: [...dims] }]));
  };
}

const urlOf = (name) => new URL(name, import.meta.url).href;

function checkExample(found) {
  const far = about.example.probabilities.findIndex((wanted, i) => !(Math.abs(found.probabilities.data[i] - wanted) < CLOSE));
  if (far >= 0) throw new Error(`it computes another ${about.findings[far]} for the example than the model's export`);
}

async function answer({ id, file }) {
  const started = performance.now();
  const picture = await readPicture(file);
  const found = await run(picture);
  if (!found.logits.data.every(Number.isFinite)) throw new Unreadable("the model gives no finite number for it");
  const seconds = (performance.now() - started) / 1000;
  const scale = Math.min(1, SHOWN / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  const shown = resize(picture, width, height);
  self.postMessage({ id, result: { found, shown, width: picture.width, height: picture.height, seconds } });
}

async function fetchWhole(name) {
  const response = await fetch(urlOf(name)).catch(() => null);
  if (!response?.ok) throw new Error(`${name} could not be loaded`);
  return response;
}

async function fetchWithProgress(name, size) {
  const reader = (await fetchWhole(name)).body.getReader();
  const whole = new Uint8Array(size);
  for (let at = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) {
      if (at !== size) throw new Error(`${name} is not whole`);
      return whole;
    }
    if (at + value.length > size) throw new Error(`${name} is of another version: load the page again`);
    whole.set(value, at);
    at += value.length;
    self.postMessage({ progress: at / size });
  }
}
