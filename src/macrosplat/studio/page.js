// The studio: what the server says stands in `state`, asked for every second; every deed is a request to it.
const $ = (id) => document.getElementById(id);
const show = (id, on) => { $(id).hidden = !on; };
let state = null, kind = "photo", sending = false, drawn = "", asking = null, suffixes = new Set(), unread = new Set(), previewed = 0;

const duration = (s) => s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
const size = (bytes) => bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
const say = (text) => { $("said").textContent = text; show("said", Boolean(text)); };
const address = (path) => path.split("/").map(encodeURIComponent).join("/");

async function deed(name, words = {}) {
  say("");
  try {
    const answer = await fetch(name, { method: "POST", body: JSON.stringify(words) });
    const said = await answer.json();
    if (said.error) say(said.error);
    await ask();
    return !said.error;
  } catch { say("The studio no longer answers: it was ended in its terminal."); return false; }
}

async function ask() {
  clearTimeout(asking);
  let busy = false;
  try {
    state = await (await fetch("state")).json();
    suffixes = new Set(state.suffixes);
    unread = new Set(state.unread);
    busy = state.looking || (state.run && !state.run.ended) || state.taking?.running;
    draw();
  } catch { say("The studio no longer answers: it was ended in its terminal."); return; }
  asking = setTimeout(ask, busy ? 1000 : 4000);
}

// How much of a photo is sharp is known once its picture is there.
let soon = null;
function askSoon() {
  if (kind !== "sharp") return;
  clearTimeout(soon);
  soon = setTimeout(ask, 250);
}

// Photos: dropped, chosen, or by their path.

async function send(files, name) {
  if (!state) await ask();
  const suffix = (path) => path.includes(".") ? path.slice(path.lastIndexOf(".")).toLowerCase() : "";
  const seen = files.filter(([path]) => !path.split("/").some((part) => part.startsWith(".")));
  const wanted = seen.filter(([path, file]) => suffixes.has(suffix(path)) && file.size);
  const left = seen
    .filter(([path, file]) => unread.has(suffix(path)) || (suffixes.has(suffix(path)) && !file.size))
    .map(([path]) => path);
  if (!wanted.length) { say("There are no photos in that; it takes JPEG, PNG, TIFF, HEIC and camera RAW files."); return; }
  if (!(await deed("upload", { name }))) return;
  sending = true;
  draw();
  let done = 0, next = 0, failed = "";
  const one = async () => {
    while (next < wanted.length && !failed) {
      const [path, file] = wanted[next++];
      try {
        const answer = await fetch(`file/${address(path)}`, { method: "PUT", body: file });
        const said = await answer.json();
        if (said.error) failed = said.error;
      } catch { failed = `${path} could not be read; was it moved?`; }
      done += 1;
      $("sent").value = done / wanted.length;
      $("sending-name").textContent = `${done} of ${wanted.length} files`;
    }
  };
  await Promise.all([one(), one(), one()]);
  sending = false;
  if (failed) { await deed("clear"); say(failed); return; }
  await deed("uploaded");
  const more = left.length > 3 ? ` and ${left.length - 3} more` : "";
  if (left.length) say(`Not taken, since they are no photos that can be read: ${left.slice(0, 3).join(", ")}${more}.`);
}

// What was dropped, folders and all: [path below the folder, File].
async function within(entry, path = "") {
  if (entry.isFile) return [[path + entry.name, await new Promise((yes, no) => entry.file(yes, no))]];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((yes, no) => reader.readEntries(yes, no));
    if (!some.length) break;
    for (const inner of some) found.push(...(await within(inner, `${path}${entry.name}/`)));
  }
  return found;
}

// One folder is the capture; its own name goes in front of nothing.
function named(files) {
  const tops = new Set(files.map(([path]) => path.split("/")[0]));
  const [top] = tops;
  const single = tops.size === 1 && files.every(([path]) => path.includes("/"));
  return single ? [files.map(([path, file]) => [path.slice(top.length + 1), file]), top] : [files, "photos"];
}

addEventListener("dragover", (e) => { e.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", async (e) => {
  e.preventDefault();
  $("drop").classList.remove("over");
  if (sending || (state?.run && !state.run.ended)) return;
  // Both at once: what was dropped is gone as soon as something is waited for.
  const entries = [...e.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const loose = [...e.dataTransfer.files].map((file) => [file.name, file]);
  const files = entries.length ? (await Promise.all(entries.map((entry) => within(entry)))).flat() : loose;
  await send(...named(files));
});
$("pick").addEventListener("click", () => $("folder").click());
$("pick-files").addEventListener("click", () => $("files").click());
$("folder").addEventListener("change", (e) => send(...named([...e.target.files].map((f) => [f.webkitRelativePath || f.name, f]))));
$("files").addEventListener("change", (e) => send([...e.target.files].map((f) => [f.name, f]), "photos"));
$("typed").addEventListener("submit", (e) => { e.preventDefault(); deed("open", { path: $("path").value }); });
$("clear").addEventListener("click", () => deed("clear"));

// A capture: its photos, and what is sharp in them.

const LEGENDS = {
  photo: "",
  sharp: "Bright is what is in focus; below each photo, how much of the frame is. What is dark in all of them stays blurred.",
  mask: "Bright is the object, as the masks have it.",
};
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) load(target);
}, { root: $("grid"), rootMargin: "200px" });

function load(img) {
  const wish = `picture/${kind}/${img.dataset.number}`;
  if (img.src.endsWith(wish)) return;
  img.classList.add("waiting"); // until the picture that is wanted has come
  img.src = wish;
}

for (const button of $("kinds").children) button.addEventListener("click", () => {
  kind = button.dataset.kind;
  for (const one of $("kinds").children) one.setAttribute("aria-pressed", String(one === button));
  $("kind-legend").textContent = LEGENDS[kind];
  for (const img of $("grid").querySelectorAll("img")) { near.unobserve(img); near.observe(img); }
  askSoon();
});

function drawCapture(capture) {
  $("capture-head").textContent = capture.name;
  const parts = [`${capture.photos.length} photos`];
  if (capture.poses < capture.photos.length) parts.push(`focus brackets of ${capture.poses} poses`);
  parts.push(capture.masks ? `masks for ${capture.masks}` : "no masks");
  parts.push(capture.cameras ? "cameras given" : "cameras will be found from the photos");
  const stops = [...new Set(capture.photos.map((p) => p.f && Number(p.f.toFixed(1))).filter(Boolean))].sort((a, b) => a - b);
  if (stops.length) parts.push(stops.length > 1 ? `f/${stops[0]} to f/${stops.at(-1)}` : `f/${stops[0]}`);
  const { size: [w, h] } = capture.photos[0];
  parts.push(`${w} × ${h} px`);
  $("about").textContent = parts.join(" · ");
  $("notes").replaceChildren(...capture.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("kinds").querySelector("[data-kind=mask]").hidden = !capture.masks;
  const key = `${capture.folder} ${capture.photos.length}`;
  if (drawn !== key) {
    drawn = key;
    $("grid").replaceChildren(...capture.photos.map((photo, i) => {
      const figure = document.createElement("figure"), img = new Image(), caption = document.createElement("figcaption");
      img.alt = photo.name;
      img.style.aspectRatio = photo.size.join(" / ");
      img.dataset.number = i;
      img.addEventListener("load", () => { img.classList.remove("waiting"); askSoon(); });
      const name = document.createElement("span"), share = document.createElement("span");
      name.textContent = photo.name;
      share.className = "share";
      caption.append(name, share);
      figure.append(img, caption);
      near.observe(img);
      return figure;
    }));
    drawQualities(capture.expected);
  }
  const shares = $("grid").querySelectorAll(".share");
  capture.photos.forEach((photo, i) => {
    shares[i].textContent = kind === "sharp" && photo.sharp !== null ? `${Math.max(1, Math.round(100 * photo.sharp))} % in focus` : "";
  });
}

const FOR = { draft: "to see whether the photos will do", standard: "for most captures", high: "when every hair counts" };
function drawQualities(expected) {
  $("qualities").replaceChildren(...Object.entries(expected).map(([name, { seconds, bytes, width, memory }], i) => {
    const label = document.createElement("label"), radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "quality", value: name, checked: i === 0 });
    const head = document.createElement("strong"), what = document.createElement("span"), cost = document.createElement("span");
    head.textContent = name;
    what.textContent = FOR[name];
    cost.className = "soft";
    cost.textContent = `about ${duration(seconds)}, ${size(memory)} of memory, ${size(bytes)} of disk, trained at ${width} px`;
    label.append(radio, head, what, cost);
    return label;
  }));
}

$("start").addEventListener("click", () => {
  const quality = document.querySelector("[name=quality]:checked").value;
  deed("start", { quality, width: $("width").value, scale: $("scale").value });
});

// A run.

function drawRun(run) {
  $("run-head").textContent = run.name;
  const on = !run.ended;
  const share = run.total ? ` ${run.done.toLocaleString()} of ${run.total.toLocaleString()}` : "";
  $("stage").textContent = on ? `${run.stopping ? "Stopping: " : ""}${run.stage}${share}` : "";
  if (run.total) $("bar").value = run.done / run.total; else $("bar").removeAttribute("value");
  show("progress", on);
  const training = run.stage === "training";
  const parts = [`${duration(run.seconds)} so far`];
  if (run.left !== null && run.left > 0 && (!training || run.done > 20)) parts.push(`${duration(run.left)} left of this stage`);
  if (training && run.rate && run.done > 20) parts.push(`${run.rate.toPrecision(3)} steps/s`);
  if (run.text) parts.push(run.text);
  $("numbers").textContent = on ? parts.join(" · ") : "";
  const rows = [];
  if ("psnr" in run.figures) rows.push(["Match with the photos", `${run.figures.psnr.toFixed(2)} dB`]);
  if ("gaussians" in run.figures) rows.push(["Gaussians", run.figures.gaussians.toLocaleString()]);
  $("figures").replaceChildren(...(on ? rows : []).flatMap(([a, b]) =>
    [["dt", a], ["dd", b]].map(([tag, text]) => Object.assign(document.createElement(tag), { textContent: text }))));
  curve(run.curve, on);
  show("stop", on);
  $("stop").disabled = run.stopping;
  $("stop").textContent = training || run.stopping ? "Stop, and make the results of what there is" : "Stop";
  show("preview", on && run.preview);
  if (on && run.preview && Date.now() - previewed > 2500) {
    previewed = Date.now();
    $("preview").querySelector("img").src = `preview?${previewed}`;
  }
  show("ended", !on);
  if (!on) {
    const took = duration(run.seconds), early = run.stopping ? "Stopped early; these are the results of what there was. " : "";
    const text = {
      done: `${early}Done in ${took}.${figures(run.summary)}`,
      interrupted: "Stopped before there was anything to show. What was done is kept.",
      error: run.said,
    }[run.ended];
    $("outcome").textContent = text;
    $("outcome").className = run.ended === "error" ? "error" : "";
    show("open", run.page && run.ended === "done");
    $("open").href = `run/${address(run.name)}/index.html`;
    show("take", run.scene && run.ended === "done" && state.taking?.name !== run.name);
    show("longer", run.ended === "interrupted" || (run.ended === "done" && run.stopping));
    $("where").textContent = run.folder;
    show("kept", run.kept);
  }
  show("remarks", run.notes.length > 0);
  $("remarks").querySelector("summary").textContent = `Remarks (${run.notes.length})`;
  $("remarks").querySelector("ul").replaceChildren(...run.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

function figures({ photos, gaussians, steps, fit_psnr: fit }) {
  if (!gaussians) return photos ? ` One picture, all in focus, of ${photos} slices.` : "";
  return ` ${photos} photos, sharp; a scene of ${gaussians.toLocaleString()} Gaussians, learned in ${steps.toLocaleString()} steps, `
    + `which through the lens matches the photos to ${fit.toFixed(1)} dB.`;
}

function curve(points, on) {
  show("curve", on && points.length > 1);
  if (points.length < 2) return;
  const values = points.map(([, y]) => y), [low, high] = [Math.min(...values), Math.max(...values)];
  const last = points.at(-1)[0], y = (v) => 112 - 92 * ((v - low) / Math.max(high - low, 0.1));
  $("curve").querySelector("path").setAttribute("d", points.map(([x, v], i) => `${i ? "L" : "M"}${(8 + (384 * x) / last).toFixed(1)} ${y(v).toFixed(1)}`).join(""));
  $("curve").querySelector(".top").textContent = `${high.toFixed(1)} dB`;
  $("curve").querySelector(".end").textContent = `step ${last.toLocaleString()}`;
}

$("stop").addEventListener("click", () => deed("stop"));
$("again").addEventListener("click", () => deed("clear"));
$("longer").addEventListener("click", () => deed("continue", { name: state.run.name }));

// What is taken away. Rows are made once: a button that is being pressed must not be replaced under the finger.
const rows = new Map();

function row(thing) {
  const li = document.createElement("li"), name = document.createElement("span"), what = document.createElement("span");
  const bar = document.createElement("progress"), make = document.createElement("button"), save = document.createElement("a");
  name.className = "name";
  name.append(Object.assign(document.createElement("strong"), { textContent: thing.label }), " ", Object.assign(document.createElement("span"), { className: "soft", textContent: thing.about }));
  what.className = "soft";
  what.setAttribute("role", "status");
  bar.max = 1;
  bar.setAttribute("aria-label", `Making ${thing.label}`);
  make.addEventListener("click", () => deed(rows.get(thing.what).running ? "stop-making" : "make", { what: thing.what }));
  Object.assign(save, { className: "button main", textContent: "Save" });
  save.setAttribute("aria-label", `Save ${thing.label}: ${thing.file}`);
  li.append(name, what, bar, make, save);
  return { li, what, bar, make, save, running: false };
}

function drawAway(taking) {
  show("away", Boolean(taking));
  if (!taking) return;
  const key = taking.name;
  if ($("things").dataset.key !== key) {
    $("things").dataset.key = key;
    rows.clear();
    for (const thing of taking.things) rows.set(thing.what, row(thing));
    $("things").replaceChildren(...[...rows.values()].map(({ li }) => li));
    $("away-head").textContent = `Take away: ${taking.name}`;
  }
  for (const thing of taking.things) {
    const { what, bar, make, save } = rows.get(thing.what), made = thing.bytes !== null, making = thing.making;
    const running = Boolean(making && !making.ended);
    rows.get(thing.what).running = running;
    bar.hidden = !running;
    if (running && making.total) bar.value = making.done / making.total; else bar.removeAttribute("value");
    const failed = making?.ended === "error" ? making.said : "";
    const notes = making?.notes ?? [];
    what.className = failed ? "error" : "soft";
    what.textContent = running ? `${making.stopping ? "Stopping" : making.stage}${making.left > 1 ? `, ${duration(making.left)} left of this stage` : ""}`
      : failed || (made ? `${size(thing.bytes)}${notes.length ? `. ${notes.join(" ")}` : ""}` : "");
    make.hidden = made;
    make.disabled = taking.running && !running;
    make.textContent = running ? "Stop" : "Make";
    make.setAttribute("aria-label", `${make.textContent} ${thing.label}`);
    save.hidden = !made;
    save.href = `taken/${thing.what}/${thing.file}`;
    save.download = `${taking.name.split("/").at(-1)}-${thing.file}`;
  }
}
$("take").addEventListener("click", async () => { if (await deed("take-away", { name: state.run.name })) $("away").scrollIntoView({ block: "nearest" }); });
$("away-close").addEventListener("click", () => deed("take-away", { name: "" }));

function drawRuns(runs) {
  show("earlier", runs.length > 0);
  $("runs").replaceChildren(...runs.map((run) => {
    const li = document.createElement("li"), name = document.createElement("span"), what = document.createElement("span");
    name.className = "name";
    name.textContent = run.name;
    what.className = "soft";
    const how = run.finished ? (run.early ? "stopped early" : "done") : "not finished";
    what.textContent = `${run.photos} photos · ${run.quality} · ${how} · ${new Date(run.when * 1000).toLocaleDateString()}`;
    li.append(name, what);
    if (run.page) {
      const open = document.createElement("a");
      Object.assign(open, { className: "button", textContent: "Open", target: "_blank", rel: "noopener", href: `run/${address(run.name)}/index.html` });
      open.setAttribute("aria-label", `Open ${run.name}`);
      li.append(open);
    }
    if (run.scene && run.finished) {
      const take = document.createElement("button");
      take.textContent = "Take away";
      take.setAttribute("aria-label", `Take away of ${run.name}`);
      take.addEventListener("click", () => deed("take-away", { name: run.name }));
      li.append(take);
    }
    if (!run.finished || run.early) {
      const on = document.createElement("button");
      on.textContent = "Go on";
      on.setAttribute("aria-label", `Go on with ${run.name}`);
      on.addEventListener("click", () => deed("continue", { name: run.name }));
      li.append(on);
    }
    return li;
  }));
}

function draw() {
  const { capture, run, looking } = state;
  if (state.said) say(state.said);
  show("photos", !capture && !run);
  show("sending", sending);
  show("drop", !sending && !looking);
  show("typed", !sending && !looking);
  show("looking", looking);
  show("capture", Boolean(capture) && !run);
  show("begin", Boolean(capture) && !run);
  show("run", Boolean(run));
  if (capture && !run) drawCapture(capture);
  if (run) drawRun(run);
  drawAway(state.taking);
  drawRuns(run || capture ? [] : state.runs);
  document.title = run && !run.ended && run.total ? `${Math.floor((100 * run.done) / run.total)} % ${run.stage}` : "macrosplat studio";
}
ask();
