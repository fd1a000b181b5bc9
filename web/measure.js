// A scale bar, and a ruler between two points of the surface. Lengths are scene units; shown in mm where they are known.
import * as THREE from "three";

const SVG = "http://www.w3.org/2000/svg";
const PICK_PX = 2; // CSS px that a click is off

export function measuring(box, facts, camera) {
  const mm = facts.mm_per_unit ?? 1, unit = facts.mm_per_unit ? "mm" : "units";
  const bar = document.createElement("div");
  bar.id = "bar";
  const text = document.createElement("span");
  bar.append(text);
  bar.hidden = !facts.mm_per_unit;
  const marks = document.createElementNS(SVG, "svg");
  marks.id = "marks";
  marks.setAttribute("aria-hidden", "true");
  box.append(bar, marks);
  const ends = []; // {at: Vector3, spread: of the depth there, depth}
  let length = 0; // of the bar, CSS px

  const unitPx = (depth) => (box.clientHeight / 2) * camera.projectionMatrix.elements[5] / depth; // CSS px a scene unit

  function drawBar(depth) {
    if (bar.hidden) return;
    const perMm = unitPx(depth) / mm;
    const least = 60 / perMm, power = 10 ** Math.floor(Math.log10(least));
    const round = [1, 2, 5, 10].find((k) => k * power >= least) * power;
    length = round * perMm;
    bar.style.width = `${length}px`;
    text.textContent = `${Number(round.toPrecision(2))} mm`;
    bar.title = facts.scale_uncertainty ? `± ${Math.round(100 * facts.scale_uncertainty)} %, at the middle` : "at the middle";
  }

  function place(point) {
    const p = point.clone().project(camera);
    return [((p.x + 1) / 2) * box.clientWidth, ((1 - p.y) / 2) * box.clientHeight, p.z < 1];
  }

  function drawMarks() {
    marks.replaceChildren();
    const at = ends.map((end) => place(end.at));
    const add = (kind, values) => {
      const one = document.createElementNS(SVG, kind);
      for (const [name, value] of Object.entries(values)) one.setAttribute(name, value);
      marks.append(one);
      return one;
    };
    if (at.length === 2) {
      add("line", { x1: at[0][0], y1: at[0][1], x2: at[1][0], y2: at[1][1] });
      add("text", { x: (at[0][0] + at[1][0]) / 2, y: (at[0][1] + at[1][1]) / 2 - 10 }).textContent = result().text;
    }
    for (const [x, y] of at) add("circle", { cx: x, cy: y, r: 6 });
  }

  function result() {
    if (ends.length < 2) return null;
    const [a, b] = ends, line = b.at.clone().sub(a.at), long = line.length();
    // A click is off by a little across the ray, and by what the surface's depth is uncertain along it.
    const errors = ends.map((end) => {
      const ray = end.at.clone().sub(camera.position).normalize();
      const along = long > 0 ? Math.abs(ray.dot(line) / long) : 1;
      return Math.hypot(end.across * Math.sqrt(1 - Math.min(1, along * along)), end.spread * along);
    });
    const sure = Math.hypot(...errors, (facts.scale_uncertainty ?? 0) * long);
    const digits = Math.max(0, Math.min(4, 1 - Math.floor(Math.log10(Math.max(sure * mm, 1e-9)))));
    const said = `${(long * mm).toFixed(digits)} ± ${(sure * mm).toFixed(digits)} ${unit}`;
    return { length: long * mm, uncertainty: sure * mm, text: said };
  }

  return {
    drawBar, drawMarks, result,
    marks: () => ends.map((end) => place(end.at)),
    bar: () => (bar.hidden ? null : { length, text: text.textContent }),
    clear: () => { ends.length = 0; drawMarks(); },
    add: (at, depth, spread) => {
      if (ends.length === 2) ends.length = 0;
      ends.push({ at, spread, across: PICK_PX / unitPx(depth) });
      drawMarks();
      return result();
    },
  };
}

// A picture of the canvas with the scale bar and what was measured in it.
export function saved(canvas, ruler, box) {
  const out = document.createElement("canvas");
  [out.width, out.height] = [canvas.width, canvas.height];
  const c = out.getContext("2d"), k = canvas.width / box.clientWidth;
  c.drawImage(canvas, 0, 0);
  c.lineWidth = 2 * k;
  c.strokeStyle = c.fillStyle = "#fff";
  c.shadowColor = "#000";
  c.shadowBlur = 3 * k;
  c.font = `${14 * k}px system-ui, sans-serif`;
  c.textAlign = "center";
  const line = (...points) => {
    c.beginPath();
    for (const [x, y] of points) c.lineTo(x * k, y * k);
    c.stroke();
  };
  const bar = ruler.bar();
  if (bar) {
    const left = 16, right = left + bar.length, y = box.clientHeight - 13;
    line([left, y - 6], [left, y], [right, y], [right, y - 6]);
    c.fillText(bar.text, ((left + right) / 2) * k, (y - 10) * k);
  }
  const marks = ruler.marks();
  for (const [x, y] of marks) {
    c.beginPath();
    c.arc(x * k, y * k, 6 * k, 0, 2 * Math.PI);
    c.stroke();
  }
  if (marks.length === 2) {
    const [[ax, ay], [bx, by]] = marks;
    line([ax, ay], [bx, by]);
    c.fillText(ruler.result().text, ((ax + bx) / 2) * k, ((ay + by) / 2 - 10) * k);
  }
  return new Promise((done) => out.toBlob(done, "image/png"));
}
