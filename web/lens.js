// Numbers as photographers read them. Lengths are scene units, millimetres where the page knows how long one is.

export const SLIDER = 60; // positions of the aperture's slider: 0 is closed, SLIDER the widest
const WIDEST = 3, STOPS = 9; // widest pupil in pupils of the photos; stops that the slider covers
const SHARP_PX = 1; // radius of a circle of confusion that passes as sharp, px of the training width

export function opticsOf(facts) {
  const mm = facts.mm_per_unit;
  const length = (v) => (mm ? `${(v * mm).toPrecision(4)} mm` : `${v.toPrecision(4)} units`);
  const short = (v) => (mm ? `${Number((v * mm).toPrecision(2))} mm` : `${Number(v.toPrecision(2))} units`);
  const widest = WIDEST * facts.pupil;

  function aperture(pupil) {
    if (facts.f_times_pupil) {
      const number = facts.f_times_pupil / pupil;
      return `f/${number < 10 ? number.toPrecision(2) : Math.round(number)}`;
    }
    const stops = 2 * Math.log2(pupil / facts.pupil);
    if (Math.abs(stops) < 0.1) return "as taken";
    return `${stops > 0 ? "+" : "−"}${Math.abs(stops).toFixed(1)} stops`;
  }

  function depthOfField(pupil, focus) {
    if (!facts.focal_px || pupil <= 0) return null;
    const width = (2 * SHARP_PX) / (pupil * facts.focal_px);
    const far = 1 / focus - width;
    return [1 / (1 / focus + width), far > 0 ? 1 / far : Infinity];
  }

  function inWords(lens) {
    if (lens.sharp) return "Aperture closed: everything is drawn sharp.";
    const range = depthOfField(lens.pupil, lens.focus);
    if (!range) return "";
    const [near, far] = range;
    if (far === Infinity) return `Sharp from ${length(near)} to infinity.`;
    return `Depth of field ${short(far - near)}: sharp from ${length(near)} to ${length(far)}.`;
  }

  return {
    aperture, depthOfField, inWords, length, short,
    pupilAt: (value) => (value <= 0 ? 0 : widest * 2 ** (((value - SLIDER) * STOPS) / 2 / (SLIDER - 1))),
    valueOf: (pupil) => Math.max(1, Math.min(SLIDER, Math.round(SLIDER + (2 * Math.log2(pupil / widest) * (SLIDER - 1)) / STOPS))),
  };
}
