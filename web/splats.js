// Which splats are drawn, and in which colours. Spark keeps four 32-bit words a splat: the first is red, green, blue and
// opacity, a byte each.

export function crop(core, mesh) {
  const splats = mesh.packedSplats;
  const whole = splats.packedArray.slice();
  return (all) => {
    for (let i = 0; i < splats.numSplats; i += 1)
      splats.packedArray[4 * i] = (all || core(i) ? whole[4 * i] : whole[4 * i] & 0x00ffffff) >>> 0;
    splats.needsUpdate = true;
    mesh.updateVersion(); // what Spark made of the mesh before is made anew
  };
}

export function recolour(splats, colours) {
  const { rgbMin = 0, rgbMax = 1 } = splats.splatEncoding ?? {};
  const byte = (c) => Math.max(0, Math.min(255, Math.round(((c / 255 - rgbMin) / (rgbMax - rgbMin)) * 255)));
  for (let i = 0; i < splats.numSplats; i += 1) {
    const [r, g, b] = [0, 1, 2].map((k) => byte(colours[3 * i + k]));
    splats.packedArray[4 * i] = ((splats.packedArray[4 * i] & 0xff000000) | r | (g << 8) | (b << 16)) >>> 0;
  }
  splats.setMaxSh(0); // the same from every side
  splats.needsUpdate = true;
}
