// The scene of a page: orbit, aperture and focus, and the photos' own views. The rest of the page is plain HTML.
//
// In: the page's JSON (#facts), its scene (#scene: base64 of a file, data-kind says of which format) and perhaps colours of
// its coverage (#coverage-colours: base64 of three bytes a Gaussian). Camera axes are OpenCV's, lengths scene units.
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const bytesOf = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
const $ = (id) => document.getElementById(id);

export async function start() {
  const facts = JSON.parse($("facts").textContent);
  const box = $("view");
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  // The first child: captions and marks lie above it.
  box.prepend(renderer.domElement);
  renderer.domElement.tabIndex = 0;
  renderer.domElement.setAttribute("aria-label", "The scene: drag to turn, arrow keys turn, plus and minus come nearer");

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
  const recolour = (splats, colours) => {
    const { rgbMin = 0, rgbMax = 1 } = splats.splatEncoding ?? {};
    const byte = (c) => Math.max(0, Math.min(255, Math.round(((c / 255 - rgbMin) / (rgbMax - rgbMin)) * 255)));
    for (let i = 0; i < splats.numSplats; i += 1) {
      const [r, g, b] = [0, 1, 2].map((k) => byte(colours[3 * i + k]));
      splats.packedArray[4 * i] = ((splats.packedArray[4 * i] & 0xff000000) | r | (g << 8) | (b << 16)) >>> 0;
    }
    splats.setMaxSh(0); // the same from every side
    splats.needsUpdate = true;
  };
  world.add(mesh);
  let shown = mesh;
  let coloured = null; // the scene coloured by coverage, loaded when first wanted

  const camera = new THREE.PerspectiveCamera(20, 1, facts.near, facts.near * 1000);
  camera.up.set(...facts.up);
  const controls = new OrbitControls(camera, renderer.domElement);
  controls.target.set(...facts.target);
  controls.enableDamping = false;
  controls.listenToKeyEvents(renderer.domElement);
  controls.keyPanSpeed = 0;

  const lens = { pupil: facts.pupil ?? 0, focus: facts.focus, sharp: true };
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
    const unit = facts.mm_per_unit ? (v) => `${(v * facts.mm_per_unit).toPrecision(4)} mm` : (v) => v.toPrecision(4);
    $("aperture-value").textContent = lens.sharp ? "closed" : unit(lens.pupil);
    $("focus-value").textContent = unit(lens.focus);
    $("sharp").setAttribute("aria-pressed", String(lens.sharp));
    $("taken").setAttribute("aria-pressed", String(!lens.sharp));
  }

  function set(changed) {
    Object.assign(lens, changed);
    $("aperture").value = lens.sharp ? 0 : lens.pupil;
    $("focus").value = lens.focus;
    label();
    optics();
  }

  function photo(i) {
    const p = facts.photos[i];
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
    lens.focus = p.focus ?? distance;
    if (facts.pupil) lens.pupil = facts.pupil * p.relative_aperture;
    set({});
    resize();
  }

  $("aperture").addEventListener("input", (e) => {
    const value = Number(e.target.value);
    set(value > 0 ? { pupil: value, sharp: false } : { sharp: true });
  });
  $("focus").addEventListener("input", (e) => set({ focus: Number(e.target.value) }));
  $("sharp").addEventListener("click", () => set({ sharp: true }));
  $("taken").addEventListener("click", () => set({ sharp: false, pupil: lens.pupil || facts.pupil }));
  $("photo").addEventListener("change", (e) => photo(Number(e.target.value)));
  $("back").addEventListener("click", () => photo(Number($("photo").value)));
  for (const [i, button] of document.querySelectorAll("[data-photo]").entries()) {
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
    const depth = depthAt(at);
    const ring = document.createElement("div"); // where the focus went, or that nothing is there
    ring.className = depth === null ? "ring miss" : "ring";
    ring.style.left = `${e.clientX - r.left}px`;
    ring.style.top = `${e.clientY - r.top}px`;
    ring.addEventListener("animationend", () => ring.remove());
    box.append(ring);
    if (depth !== null) set({ focus: depth, sharp: false, pupil: lens.pupil || facts.pupil });
  });

  const surface = []; // centre, opacity and size of every Gaussian that can be seen
  function depthAt(at) {
    // The first depth at which the Gaussians near the pointer hide half of what is behind them.
    const reach = 0.012; // of half the height of the view: the least that a Gaussian counts for
    const scale = camera.projectionMatrix.elements[5];
    const matrix = new THREE.Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    const v = new THREE.Vector4();
    const hits = [];
    for (const [x, y, z, opacity, size] of surface) {
      v.set(x, y, z, 1).applyMatrix4(matrix);
      if (v.w <= 0) continue;
      const dx = (v.x / v.w - at.x) * camera.aspect, dy = v.y / v.w - at.y;
      const far = Math.hypot(dx, dy) / Math.max(reach, (size / v.w) * scale);
      if (far < 3) hits.push([v.w, opacity * Math.exp((-far * far) / 2)]);
    }
    hits.sort((a, b) => a[0] - b[0]);
    let light = 1;
    for (const [depth, alpha] of hits) {
      light *= 1 - alpha;
      if (light < 0.5) return depth;
    }
    return null;
  }

  canvas.addEventListener("keydown", (e) => {
    const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (turn) {
      e.preventDefault();
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
  controls.addEventListener("change", draw);

  const coverage = $("coverage");
  if (coverage) {
    coverage.addEventListener("click", async () => {
      const on = coverage.getAttribute("aria-pressed") !== "true";
      if (on && !coloured) {
        coloured = meshOf("scene");
        await coloured.initialized;
        recolour(coloured.packedSplats, bytesOf("coverage-colours"));
      }
      world.remove(shown);
      shown = on ? coloured : mesh;
      world.add(shown);
      coverage.setAttribute("aria-pressed", String(on));
      $("coverage-legend").hidden = !on;
      draw();
    });
  }

  await mesh.initialized;
  mesh.updateMatrixWorld();
  mesh.packedSplats.forEachSplat((i, centre, scales, quaternion, opacity) => {
    if (opacity <= 0.05) return;
    const [, middle, largest] = scales.toArray().sort((a, b) => a - b);
    surface.push([...centre.clone().applyMatrix4(mesh.matrixWorld).toArray(), opacity, Math.sqrt(middle * largest)]);
  });
  photo(0);
  const gl = renderer.getContext();
  const pixel = new Uint8Array(4);
  function render(ratio) {
    if (ratio !== pace.ratio) { pace.ratio = ratio; resize(); }
    wanted = false; // sorting is done beside, and asks again when it has arrived
    const began = performance.now();
    renderer.render(world, camera);
    const sorted = gl.getParameter(gl.PIXEL_PACK_BUFFER_BINDING); // what Spark reads back for its sorting
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // waits until the picture is there
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, sorted);
    return performance.now() - began;
  }
  let last = 0, took = 0;
  renderer.setAnimationLoop((now) => {
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
    box.dataset.ready = wanted || sorting || (pace.ratio < best && last !== Infinity) ? "no" : "yes";
  });
  // For tests and for scripts in the console.
  window.macrosplat = { facts, photo, set, lens, camera, controls, draw, depthAt, pace };
  box.dataset.loaded = "yes";
}

start().catch((error) => {
  $("view").textContent = `The scene cannot be shown in this browser (${error.message}). The photos below can.`;
});
