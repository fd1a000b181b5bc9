// How far a viewer may go: as far as the photos saw. In: facts.polar, azimuth (degrees, from `zero` about `up`), distances.
import * as THREE from "three";

export function limit(controls, facts) {
  [controls.minDistance, controls.maxDistance] = facts.distances;
  [controls.minPolarAngle, controls.maxPolarAngle] = facts.polar.map((angle) => THREE.MathUtils.degToRad(angle));
  if (!facts.azimuth) return;
  // Angles of the controls begin at z after `up` was turned to y.
  const up = new THREE.Vector3(...facts.up), toY = new THREE.Quaternion().setFromUnitVectors(up, new THREE.Vector3(0, 1, 0));
  const zero = new THREE.Vector3(...facts.zero).applyQuaternion(toY);
  const began = Math.atan2(zero.x, zero.z);
  const within = (angle) => Math.atan2(Math.sin(angle), Math.cos(angle));
  [controls.minAzimuthAngle, controls.maxAzimuthAngle] =
    facts.azimuth.map((angle) => within(began + THREE.MathUtils.degToRad(angle)));
}

// What is turned about stays at the object.
export function holdTarget(controls, facts) {
  const middle = new THREE.Vector3(...facts.target), off = new THREE.Vector3();
  off.copy(controls.target).sub(middle);
  if (off.length() <= facts.radius) return;
  const back = off.clone().setLength(facts.radius).sub(off);
  controls.target.add(back);
  controls.object.position.add(back);
}
