/** The page: takes a file, asks the engine, shows the answer. */

import { describeFinding } from "./calibration.js";
import { drawHeatmap, drawPicture, shadeOf } from "./heatmap.js";

const find = (selector) => document.querySelector(selector);
const engine = new Worker("engine.js", { type: "module" });
const waiting = new Map(); // answers to come, by number
const page = { about: null, early: null, shown: null, rows: [], sequence: 0 };

// What the visitor sees of the work

function say(text) {
  find("#status").textContent = text;
}

function refuse(text) {
  find("#error").textContent = text;
  find("#error").hidden = !text;
}

// The engine

engine.onmessage = ({ data }) => {
  if (data.progress !== undefined) showProgress(data.progress);
  else if (data.ready) getReady(data.ready, data.backend);
  else if (data.failed) fail(data.failed);
  else finish(data);
};
engine.onerror = (event) => fail(event.message ?? "its script could not be loaded");

function showProgress(share) {
  find("#progress").value = share;
  if (share === 1) say("Starting the model."); // not each step: a screen reader would read all of them
}

function getReady(about, backend) {
  page.about = about;
  find("#progress").hidden = true;
  for (const control of document.querySelectorAll("[data-needs-model]")) control.disabled = false;
  document.body.dataset.state = "ready";
  document.body.dataset.backend = backend;
  describeModel(about, backend);
  say("Ready.");
  if (page.early) predict(...page.early);
}

function fail(reason) {
  find("#progress").hidden = true;
  document.body.dataset.state = "failed";
  say("");
  refuse(`The model does not run in this browser (${reason}). Try a newer version of Chrome, Edge, Firefox or Safari.`);
}

function describeModel(about, backend) {
  find("#model-name").textContent = about.name;
  const [size, crop] = [about.size, about.crop];
  const middle = crop < size ? `, of these the middle ${crop} × ${crop}` : "";
  const facts = [
    ["Weights", `SHA-256 ${about.sha256.slice(0, 12)}…, ${(about.bytes / 1e6).toFixed(1)} MB${about.int8 ? ", in int8" : ""}`],
    ["It sees", `the picture as ${size} × ${size} greys${middle}`],
    ["It runs on", backend === "webgpu" ? "the graphics processor (WebGPU)" : "the processor (WebAssembly)"],
    ["Calibration", calibrationText(about.calibration)],
    ["Other pictures", distanceText(about)],
  ];
  find("#facts").replaceChildren(...facts.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
  find("#value-kind").textContent = about.calibration ? "calibrated probability" : "the model's own probability";
  find("#key").hidden = !about.calibration;
  find("#synthetic").hidden = about.synthetic !== true;
  find("#heatmap-controls").hidden = !about.outputs.includes("maps");
  find("#no-heatmap").hidden = about.outputs.includes("maps");
}

function distanceText({ outputs, statistics }) {
  if (!outputs.includes("distance")) return "not noticed: the model was exported without statistics of its training images";
  return `noticed by their distance to ${statistics.n_train.toLocaleString("en")} training images`;
}

function calibrationText(calibration) {
  if (!calibration) return "none: these are the model's own probabilities, and there are no thresholds";
  const { n_images: images, datasets, rule, sensitivity } = calibration.about;
  const kind = rule === "sensitivity" ? `sensitivity ${sensitivity}` : rule;
  return `from ${images.toLocaleString("en")} validation images of ${datasets.join(" and ")}; thresholds by the rule ${kind}`;
}

// Files

async function predict(file, name) {
  if (document.body.dataset.state === "failed") return;
  if (!page.about) {
    page.early = [file, name];
    say(`The model is still loading. ${name} is next.`);
    return;
  }
  refuse("");
  const id = ++page.sequence;
  document.body.dataset.state = "working";
  say(`Reading ${name}.`);
  const answer = await new Promise((resolve) => {
    waiting.set(id, resolve);
    engine.postMessage({ id, file });
  });
  if (id !== page.sequence) return; // a later file was chosen
  if (answer.refused) {
    say("");
    find("#result").hidden = true;
    refuse(`${name} ${answer.refused}.`);
  } else show(answer.result, name);
  Object.assign(document.body.dataset, { state: "ready", answers: id });
}

function finish({ id, ...answer }) {
  waiting.get(id)?.(answer);
  waiting.delete(id);
}

function choose(files) {
  const [file] = files;
  if (!file) return;
  predict(file, file.name).then(() => {
    if (files.length > 1) say(`${find("#status").textContent} One picture at a time: this is the first of ${files.length}.`);
  });
}

// The answer

function show({ found, shown, width, height, seconds }, name) {
  const { findings, calibration, crop, size } = page.about;
  page.rows = findings.map((finding, i) => describeFinding(finding, found.logits.data[i], calibration));
  page.shown = { picture: shown, maps: found.maps, places: page.about.places, share: crop / size };
  find("#file").textContent = `${name}, ${width} × ${height} pixels`;
  warn(found.distance?.data[0]);
  drawPicture(find("#picture"), shown);
  listFindings();
  find("#result").hidden = false;
  const called = page.rows.filter((row) => row.call);
  const text = called.length ? `Above their thresholds: ${called.map((row) => readable(row.name)).join(", ")}.` : "";
  say(`Done in ${seconds.toFixed(1)} seconds. ${text || (calibration ? "No finding is above its threshold." : "")}`);
}

function warn(distance) {
  find("#unlike").hidden = !(distance > 1);
  find("#distance").textContent = distance?.toFixed(2) ?? "";
}

const readable = (name) => name.replaceAll("_", " ");

/** A probability in percent, never as 0 or 100. */
function percent(share) {
  if (share < 0.0005) return "< 0.1 %";
  if (share >= 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(share < 0.0995 || share >= 0.9895 ? 1 : 0)} %`;
}
const best = (row) => row.calibrated ?? row.own;

function listFindings() {
  const order = page.rows.map((row, i) => ({ ...row, place: i }));
  order.sort((a, b) => Number(b.call ?? 0) - Number(a.call ?? 0) || best(b) - best(a));
  find("#findings").replaceChildren(...order.map((row, i) => findingLine(row, i === 0)));
  drawChosen();
}

function findingLine(row, isFirst) {
  const input = element("input", { type: "radio", name: "finding", value: row.place });
  input.checked = isFirst;
  const bar = element("span", { className: "bar" }, element("span", { className: "filled" }));
  bar.firstChild.style.width = `${100 * best(row)}%`;
  if (row.threshold !== null) {
    const tick = element("span", { className: "tick" });
    tick.style.left = `${100 * row.threshold}%`;
    bar.append(tick);
  }
  bar.setAttribute("aria-hidden", "true");
  const value = element("span", { className: "value" }, percent(best(row)));
  const line = element("label", {}, input, element("span", { className: "name" }, readable(row.name)), value, bar, noteOf(row));
  for (const key of ["name", "own", "calibrated", "call", "percentile"]) line.dataset[key] = row[key] ?? "";
  return element("li", {}, line);
}

function noteOf(row) {
  const parts = [];
  if (row.call !== null) parts.push(row.call ? "above its threshold" : "below its threshold");
  if (row.calibrated !== null) parts.push(`model's own ${percent(row.own)}`);
  else if (page.about.calibration) parts.push("not calibrated");
  if (row.percentile !== null) parts.push(`percentile ${Math.round(row.percentile)}`);
  return element("span", { className: row.call ? "note called" : "note" }, parts.join(" · "));
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function drawChosen() {
  const chosen = find("#findings input:checked");
  const { maps, picture, share } = page.shown ?? {};
  if (!chosen || !maps) return;
  const [, , rows, columns] = maps.dims;
  const start = Number(chosen.value) * rows * columns;
  const map = { data: maps.data.subarray(start, start + rows * columns), rows, columns, places: page.shown.places };
  const isShown = find("#show-heatmap").checked;
  drawHeatmap(find("#heatmap"), picture, isShown ? map : null, share);
  find("#heatmap").style.opacity = find("#strength").value / 100;
  find("#legend").hidden = !isShown;
  find("#legend-name").textContent = readable(page.rows[chosen.value].name);
}

// What the visitor does

find("#choose").addEventListener("click", () => find("#input").click());
find("#input").addEventListener("change", ({ target }) => {
  choose([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
find("#example").addEventListener("click", async () => {
  const file = await (await fetch("example.png")).blob();
  predict(file, "The example");
});
find("#findings").addEventListener("change", drawChosen);
find("#show-heatmap").addEventListener("change", drawChosen);
find("#strength").addEventListener("input", drawChosen);
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragged");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragged");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragged");
  choose([...event.dataTransfer.files]);
});

find("#scale").style.background =
  `linear-gradient(to right, ${[0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => `rgb(${shadeOf(i / 8).join(" ")} / ${i / 8})`).join(", ")})`;

// Start. The service worker comes first, so that each file is loaded once and is there without network.

async function keepOffline() {
  if (!("serviceWorker" in navigator)) return false;
  await navigator.serviceWorker.register("sw.js");
  if (navigator.serviceWorker.controller) return true;
  return new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true)));
}

const timeOut = (seconds) => new Promise((resolve) => setTimeout(() => resolve(false), 1000 * seconds));
Promise.race([keepOffline().catch(() => false), timeOut(60)]).then((isKept) => {
  find("#offline").hidden = !isKept;
  engine.postMessage({ open: true });
});
