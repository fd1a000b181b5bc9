// The scene of a page: orbit, aperture and focus, and the photos' own views. The rest of the page is plain HTML.
//
// In: the page's JSON (#facts), its scene (#scene: base64 of a file, data-kind says of which format), which of it is the
// object (#core: base64, a bit a Gaussian) and perhaps colours of its coverage (#coverage-colours: three bytes a Gaussian). Camera axes are OpenCV's, lengths scene units.
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { SLIDER, opticsOf } from "./lens.js";
import { holdTarget, limit } from "./limits.js";
import { measuring, saved } from "./measure.js";
import { crop, recolour } from "./splats.js";

const bytesOf = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
const SAVED = 2400; // px of the longer side of a saved picture: 20 cm at 300 dpi
const $ = (id) => document.getElementById(id);
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

export async function start() {
  const facts = JSON.parse($("facts").textContent);
  const box = $("view");
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  // The first child: captions and marks lie above it.
  box.prepend(renderer.domElement);
  renderer.domElement.tabIndex = 0;
  renderer.domElement.setAttribute("aria-label", "The scene: arrow keys turn, plus and minus come nearer, the space bar focuses or measures in the middle");
  renderer.domElement.setAttribute("role", "application");

  const world = new THREE.Scene();
  world.background = new THREE.Color().setRGB(...facts.backdrop, THREE.SRGBColorSpace);
  // The footprint of a pixel as macrosplat draws it, which keeps a splat's light.
  const spark = new SparkRenderer({
    renderer, preBlurAmount: 0, blurAmount: 0.1, maxStdDev: 3.33, sortRadial: false, maxPixelRadius: 1024,
  });
  world.add(spark);
  // SPZ's axes are right, up, back; PLY's those of the cameras, in which this world is.
  const meshOf = (id) => {
    const fileType = $(id).dataset.kind;
    const made = new SplatMesh({ fileBytes: bytesOf(id), fileType, lod: false });
    if (fileType === "spz") made.rotation.x = Math.PI;
    return made;
  };
  const mesh = meshOf("scene");
  world.add(mesh);
  let shown = mesh;
  let coloured = null; // the scene coloured by coverage, made when first wanted
  const bits = bytesOf("core");
  const core = (i) => ((bits[i >> 3] >> (i & 7)) & 1) === 1;
  const crops = []; // one for each of the two

  const camera = new THREE.PerspectiveCamera(20, 1, facts.near, facts.near * 1000);
  camera.up.set(...facts.up);
  const controls = new OrbitControls(camera, renderer.domElement);
  controls.target.set(...facts.target);
  controls.enableDamping = false;
  controls.listenToKeyEvents(renderer.domElement);
  controls.keyPanSpeed = 0;
  limit(controls, facts);
  const optic = opticsOf(facts);
  const ruler = measuring(box, facts, camera);

  // What is shown: "sharp"; "taken", as the photo whose view was chosen was taken; "coverage"; "free", any other lens.
  const lens = { pupil: facts.pupil ?? 0, focus: facts.focus, sharp: true, mode: "sharp" };
  let photoAt = 0; // the photo whose view was chosen last
  let standing = true; // whether it still is what is seen
  let offAxis = null; // [cx, cy] in -1..1 of a photo whose lens does not look through its middle
  let fovX = 20, aspect = 4 / 3;
  let wanted = true;
  const draw = () => { wanted = true; };
  // Pixels per CSS pixel, fewer while something moves on a slow machine; a wide aperture makes every splat large. In ms:
  // what a picture may take while moving, and at rest.
  const best = Math.min(window.devicePixelRatio, 2);
  const pace = { ratio: best, moving: 60, still: 1500, rest: 250 };
  spark.onDirty = draw;

  function optics() {
    // Of the picture that the lens draws, the whole width stays in sight, whatever the shape of the window.
    const tall = camera.aspect < aspect;
    const half = Math.tan((fovX * Math.PI) / 360);
    camera.fov = (2 * Math.atan(tall ? half / camera.aspect : half / aspect) * 180) / Math.PI;
    camera.updateProjectionMatrix();
    if (offAxis) {
      camera.projectionMatrix.elements[8] = offAxis[0];
      camera.projectionMatrix.elements[9] = offAxis[1];
      camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
    }
    spark.focalDistance = lens.focus;
    spark.apertureAngle = lens.sharp ? 0 : 2 * Math.atan(lens.pupil / 2 / lens.focus);
    draw();
  }

  function resize() {
    const { clientWidth, clientHeight } = box;
    renderer.setPixelRatio(pace.ratio);
    renderer.setSize(clientWidth, clientHeight, false);
    camera.aspect = clientWidth / clientHeight;
    optics();
  }
  new ResizeObserver(resize).observe(box);

  function label() {
    const aperture = lens.sharp ? "closed" : optic.aperture(lens.pupil), focus = optic.length(lens.focus);
    $("aperture-value").textContent = aperture;
    $("aperture").setAttribute("aria-valuetext", aperture);
    $("focus-value").textContent = focus;
    $("focus").setAttribute("aria-valuetext", focus);
    $("depth").textContent = lens.mode === "coverage" ? "" : optic.inWords(lens);
    for (const mode of ["sharp", "taken", "coverage"]) $(mode)?.setAttribute("aria-pressed", String(lens.mode === mode));
  }

  function set(changed) {
    Object.assign(lens, changed);
    lens.sharp = lens.mode === "sharp" || lens.mode === "coverage";
    $("aperture").value = lens.sharp ? 0 : optic.valueOf(lens.pupil);
    $("focus").value = lens.focus;
    label();
    colours();
    optics();
  }

  const around = () => $("around")?.getAttribute("aria-pressed") === "true";
  let everything = null; // whether the surroundings are drawn
  function surroundings() {
    // A photo as it was taken has them; who goes elsewhere sees what few photos have seen.
    const all = !facts.cropped || around() || (standing && lens.mode === "taken");
    if (all === everything) return;
    everything = all;
    for (const one of crops) one(all);
    draw();
  }

  async function inCoverage() {
    const made = meshOf("scene");
    await made.initialized;
    recolour(made.packedSplats, bytesOf("coverage-colours"));
    crops.push(crop(core, made));
    everything = null;
    return made;
  }

  async function colours() {
    const on = lens.mode === "coverage";
    if (on && shown === mesh) {
      busy("Colouring the scene by its coverage …");
      await painted(); // before the work, which keeps the browser from painting anything
    }
    if (on) coloured ??= inCoverage();
    const wish = on ? await coloured : mesh;
    if (on !== (lens.mode === "coverage")) return; // chosen otherwise meanwhile
    surroundings();
    if (shown !== wish) {
      world.remove(shown);
      shown = wish;
      world.add(shown);
    }
    if ($("coverage-legend")) $("coverage-legend").hidden = lens.mode !== "coverage";
    draw();
  }

  // The lens with which photo number photoAt was taken; without one, the scene's.
  function taken() {
    const p = facts.photos[photoAt];
    const distance = controls.target.distanceTo(camera.position);
    return { mode: "taken", focus: p.focus ?? distance, pupil: facts.pupil * p.relative_aperture };
  }

  function leave() {
    if (!standing) return;
    standing = false;
    camera.up.set(...facts.up);
    surroundings();
  }

  function photo(i) {
    const p = facts.photos[i];
    photoAt = i;
    standing = false; // until it stands: setting out from anywhere, the limits do not matter
    const view = new THREE.Matrix4().set(...p.view); // world to camera, y down, z forward
    const pose = view.clone().invert().multiply(new THREE.Matrix4().makeScale(1, -1, -1));
    const rotation = new THREE.Quaternion().setFromRotationMatrix(pose);
    camera.position.setFromMatrixPosition(pose);
    camera.up.set(0, 1, 0).applyQuaternion(rotation);
    // What is turned about lies on the axis: the camera looks exactly as it looked.
    const ahead = new THREE.Vector3(0, 0, -1).applyQuaternion(rotation);
    const distance = new THREE.Vector3(...facts.target).sub(camera.position).dot(ahead);
    controls.target.copy(camera.position).addScaledVector(ahead, distance);
    camera.lookAt(controls.target);
    fovX = p.fov_x;
    aspect = p.aspect;
    offAxis = p.off_axis;
    controls.update();
    standing = true;
    const { focus, pupil } = taken();
    set({ focus, pupil, mode: lens.mode === "free" ? "taken" : lens.mode });
    resize();
  }

  $("aperture").max = SLIDER;
  $("aperture").addEventListener("input", (e) => {
    const pupil = optic.pupilAt(Number(e.target.value));
    set(pupil > 0 ? { pupil, mode: "free" } : { mode: "sharp" });
  });
  $("focus").addEventListener("input", (e) => set({ focus: Number(e.target.value), mode: lens.sharp ? lens.mode : "free" }));
  $("sharp").addEventListener("click", () => set({ mode: "sharp" }));
  $("taken").addEventListener("click", () => set(taken()));
  $("coverage")?.addEventListener("click", () => set({ mode: lens.mode === "coverage" ? "sharp" : "coverage" }));
  $("photo").addEventListener("change", (e) => photo(Number(e.target.value)));
  $("back").addEventListener("click", () => { turning(false); photo(Number($("photo").value)); });
  $("around")?.addEventListener("click", () => {
    $("around").setAttribute("aria-pressed", String(!around()));
    surroundings();
  });
  const measures = () => $("ruler").getAttribute("aria-pressed") === "true";
  $("ruler").addEventListener("click", () => {
    const on = !measures();
    $("ruler").setAttribute("aria-pressed", String(on));
    box.classList.toggle("measuring", on);
    ruler.clear();
    $("measured").textContent = on ? "Click two points of the surface." : "";
  });
  function turning(on) {
    $("turn").setAttribute("aria-pressed", String(on));
    controls.autoRotate = on;
    if (on) leave();
    draw();
  }
  $("turn").addEventListener("click", () => turning(!controls.autoRotate));
  $("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen()));
  $("full").hidden = !document.fullscreenEnabled;
  // To be printed: larger than the view, and as fine as it gets, however slow the machine is while something moves.
  function picture() {
    const before = pace.ratio, most = renderer.getContext().getParameter(renderer.getContext().MAX_RENDERBUFFER_SIZE);
    pace.ratio = Math.max(best, Math.min(SAVED, most) / Math.max(box.clientWidth, box.clientHeight));
    resize();
    renderer.render(world, camera);
    const made = saved(renderer.domElement, ruler, box);
    pace.ratio = before;
    resize();
    return made;
  }
  $("save").addEventListener("click", async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await picture());
    link.download = `${document.title}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  for (const button of document.querySelectorAll("[data-photo]")) {
    const i = Number(button.dataset.photo);
    button.addEventListener("click", () => {
      $("photo").value = String(i);
      photo(i);
      $("view").scrollIntoView({ behavior: "smooth", block: "center" });
    });
  }

  // Click to focus: at the depth of the surface under the pointer, unless the click was a drag.
  const down = new THREE.Vector2();
  const canvas = renderer.domElement;
  let fingers = 0, pinched = false;
  canvas.addEventListener("pointerdown", (e) => {
    fingers += 1;
    pinched = fingers > 1;
    down.set(e.clientX, e.clientY);
  });
  for (const gone of ["pointercancel", "pointerleave"]) canvas.addEventListener(gone, () => { fingers = 0; });
  canvas.addEventListener("pointerup", (e) => {
    fingers = Math.max(0, fingers - 1);
    const still = e.pointerType === "mouse" ? 4 : 10; // px: a finger is not as steady
    if (pinched || down.distanceTo(new THREE.Vector2(e.clientX, e.clientY)) > still) return;
    const r = canvas.getBoundingClientRect();
    const at = new THREE.Vector2(((e.clientX - r.left) / r.width) * 2 - 1, 1 - ((e.clientY - r.top) / r.height) * 2);
    point(at, e.clientX - r.left, e.clientY - r.top);
  });

  // Somebody pointed at the scene, at [x, y] in -1..1 and px: it is focused there, or measured.
  function point(at, left, top) {
    const hit = hitAt(at);
    const ring = document.createElement("div"); // where the focus went, or that nothing is there
    ring.className = hit === null ? "ring miss" : "ring";
    ring.style.left = `${left}px`;
    ring.style.top = `${top}px`;
    ring.addEventListener("animationend", () => ring.remove());
    box.append(ring);
    if (hit === null) return;
    const [depth, spread] = hit;
    if (!measures()) {
      set({ focus: depth, mode: "free", pupil: lens.pupil || facts.pupil });
      return;
    }
    const found = ruler.add(worldAt(at, depth), depth, spread);
    $("measured").textContent = found ? `Distance: ${found.text}.` : "Click the second point.";
  }

  // The point at a depth along the axis.
  function worldAt(at, depth) {
    const ray = new THREE.Vector3(at.x, at.y, 0.5).unproject(camera).sub(camera.position);
    const ahead = new THREE.Vector3(0, 0, -1).applyQuaternion(camera.quaternion);
    return camera.position.clone().addScaledVector(ray, depth / ray.dot(ahead));
  }

  // What keeps one waiting, said in the picture until it is drawn: seconds on a machine without a graphics card.
  function busy(text) {
    $("busy").textContent = text;
    $("busy").hidden = !text;
  }

  const surface = []; // centre, opacity and size of every Gaussian that can be seen
  const depthAt = (at) => hitAt(at)?.[0] ?? null;
  function hitAt(at) {
    // The first depth at which the Gaussians near the pointer hide half of what is behind them.
    const reach = 0.012; // of half the height of the view: the least that a Gaussian counts for
    const scale = camera.projectionMatrix.elements[5];
    const matrix = new THREE.Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    const v = new THREE.Vector4();
    const hits = [];
    for (const [x, y, z, opacity, size, i] of surface) {
      if (!everything && !core(i)) continue;
      v.set(x, y, z, 1).applyMatrix4(matrix);
      if (v.w <= 0) continue;
      const dx = (v.x / v.w - at.x) * camera.aspect, dy = v.y / v.w - at.y;
      const far = Math.hypot(dx, dy) / Math.max(reach, (size / v.w) * scale);
      if (far < 3) hits.push([v.w, opacity * Math.exp((-far * far) / 2)]);
    }
    hits.sort((a, b) => a[0] - b[0]);
    // Its mean over what makes up the surface there, and how far that is spread.
    let light = 1, sum = 0, mean = 0, square = 0, found = null;
    for (const [depth, alpha] of hits) {
      const weight = light * alpha;
      light *= 1 - alpha;
      sum += weight;
      mean += weight * depth;
      square += weight * depth * depth;
      found ??= light < 0.5 ? depth : null;
      if (light < 0.1) break;
    }
    if (found === null) return null;
    mean /= sum;
    return [found, Math.min(Math.sqrt(Math.max(0, square / sum - mean * mean)), 0.1 * facts.radius)];
  }

  canvas.addEventListener("keydown", (e) => {
    const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (e.key === " ") {
      e.preventDefault();
      point(new THREE.Vector2(0, 0), canvas.clientWidth / 2, canvas.clientHeight / 2);
      return;
    }
    if (turn) {
      e.preventDefault();
      leave();
      const arm = camera.position.clone().sub(controls.target);
      const side = new THREE.Vector3().crossVectors(camera.up, arm).normalize();
      arm.applyAxisAngle(camera.up.clone().normalize(), turn[0] * 0.05).applyAxisAngle(side, turn[1] * 0.05);
      camera.position.copy(controls.target).add(arm);
    } else if (e.key === "+" || e.key === "-") {
      camera.position.lerp(controls.target, e.key === "+" ? 0.08 : -0.08);
    } else return;
    controls.update();
    draw();
  });
  controls.addEventListener("start", leave);
  controls.addEventListener("change", () => {
    if (!standing) holdTarget(controls, facts);
    draw();
  });

  await mesh.initialized;
  mesh.updateMatrixWorld();
  mesh.packedSplats.forEachSplat((i, centre, scales, quaternion, opacity) => {
    if (opacity <= 0.05) return;
    const [, middle, largest] = scales.toArray().sort((a, b) => a - b);
    surface.push([...centre.clone().applyMatrix4(mesh.matrixWorld).toArray(), opacity, Math.sqrt(middle * largest), i]);
  });
  crops.push(crop(core, mesh));
  $("photo").value = String(facts.first);
  photo(facts.first);
  const gl = renderer.getContext();
  const pixel = new Uint8Array(4);
  function render(ratio) {
    if (ratio !== pace.ratio) { pace.ratio = ratio; resize(); }
    wanted = false; // sorting is done beside, and asks again when it has arrived
    const began = performance.now();
    renderer.render(world, camera);
    ruler.drawBar(controls.target.distanceTo(camera.position));
    ruler.drawMarks();
    const sorted = gl.getParameter(gl.PIXEL_PACK_BUFFER_BINDING); // what Spark reads back for its sorting
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // waits until the picture is there
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, sorted);
    return performance.now() - began;
  }
  let last = 0, took = 0;
  let turned = 0, quiet = 0;
  renderer.setAnimationLoop((now) => {
    if (controls.autoRotate) {
      const before = controls.getAzimuthalAngle();
      controls.update(Math.min(0.1, (now - turned) / 1000));
      if (controls.getAzimuthalAngle() === before) controls.autoRotateSpeed *= -1; // at the end of what was photographed
    }
    turned = now;
    const sorting = spark.sorting || spark.sortDirty;
    if (wanted) {
      const share = Math.sqrt(pace.moving / Math.max(took, 1));
      took = render(Math.min(best, Math.max(0.4 * best, pace.ratio * Math.min(1.25, share))));
      last = now;
    } else if (!sorting && pace.ratio < best && now - last > pace.rest) {
      const finest = Math.min(best, pace.ratio * Math.sqrt(pace.still / Math.max(took, 1)));
      if (finest > 1.1 * pace.ratio) took = render(finest);
      last = Infinity; // nothing more to gain until something changes
    }
    const coming = (lens.mode === "coverage") === (shown === mesh); // what was chosen is not there yet
    box.dataset.ready = coming || wanted || sorting || (pace.ratio < best && last !== Infinity) ? "no" : "yes";
    quiet = coming || wanted || sorting ? 0 : quiet + 1; // sorting begins some frames after what it is for
    if (quiet === 6) busy("");
  });
  // For tests and for scripts in the console.
  window.macrosplat = { facts, photo, set, lens, camera, controls, draw, depthAt, pace, ruler, point, optic };
  box.dataset.loaded = "yes";
}

start().catch((error) => {
  $("view").textContent = `The scene cannot be shown in this browser (${error.message}). The photos below can.`;
});
