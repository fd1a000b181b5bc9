// The scene of a page: orbit, aperture and focus, and the photos' own views. The rest of the page is plain HTML.
//
// In: the page's JSON (#facts) and its scene (#scene, SPZ). Camera axes in the JSON are OpenCV's, lengths scene units.
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const bytesOf = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
const $ = (id) => document.getElementById(id);

export async function start() {
  const facts = JSON.parse($("facts").textContent);
  const box = $("view");
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
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
  const mesh = new SplatMesh({ fileBytes: bytesOf("scene"), fileType: "spz", lod: false });
  mesh.rotation.x = Math.PI; // SPZ's axes to those of the cameras
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
  canvas.addEventListener("pointerdown", (e) => down.set(e.clientX, e.clientY));
  canvas.addEventListener("pointerup", (e) => {
    if (down.distanceTo(new THREE.Vector2(e.clientX, e.clientY)) > 4) return;
    const r = canvas.getBoundingClientRect();
    const at = new THREE.Vector2(((e.clientX - r.left) / r.width) * 2 - 1, 1 - ((e.clientY - r.top) / r.height) * 2);
    const depth = depthAt(at);
    if (depth !== null) set({ focus: depth, sharp: false, pupil: lens.pupil || facts.pupil });
  });

  const surface = []; // centre and opacity of every Gaussian that can be seen
  function depthAt(at) {
    // The first depth at which the Gaussians near the pointer hide half of what is behind them.
    const reach = 0.012; // of half the height of the view
    const matrix = new THREE.Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    const v = new THREE.Vector4();
    const hits = [];
    for (const [x, y, z, opacity] of surface) {
      v.set(x, y, z, 1).applyMatrix4(matrix);
      if (v.w <= 0) continue;
      const dx = (v.x / v.w - at.x) * camera.aspect, dy = v.y / v.w - at.y;
      const far = Math.hypot(dx, dy) / reach;
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
        coloured = new SplatMesh({ fileBytes: bytesOf("coverage-scene"), fileType: "spz", lod: false });
        coloured.rotation.x = Math.PI;
        await coloured.initialized;
      }
      world.remove(shown);
      shown = on ? coloured : mesh;
      world.add(shown);
      coverage.setAttribute("aria-pressed", String(on));
      draw();
    });
  }

  await mesh.initialized;
  mesh.updateMatrixWorld();
  mesh.packedSplats.forEachSplat((i, centre, scales, quaternion, opacity) => {
    if (opacity > 0.05) surface.push([...centre.clone().applyMatrix4(mesh.matrixWorld).toArray(), opacity]);
  });
  photo(0);
  let frames = 0;
  const settle = () => { frames = 8; }; // sorting is done beside: some frames more, until it has arrived
  renderer.setAnimationLoop(() => {
    if (wanted) { wanted = false; settle(); }
    if (frames > 0) { frames -= 1; renderer.render(world, camera); }
    box.dataset.ready = frames === 0 ? "yes" : "no";
  });
  // For tests and for scripts in the console.
  window.macrosplat = { facts, photo, set, lens, camera, controls, draw, depthAt };
  box.dataset.loaded = "yes";
}

start().catch((error) => {
  $("view").textContent = `The scene cannot be shown in this browser (${error.message}). The photos below can.`;
});
