const circles = document.getElementById("circles"), sharps = document.getElementById("sharps");
for (const button of circles ? [circles, sharps] : []) button.addEventListener("click", () => {
  document.querySelector(".photos").classList.toggle("circles", button === circles);
  for (const one of [circles, sharps]) one.setAttribute("aria-pressed", String(one === button));
  document.getElementById("circles-legend").hidden = button !== circles;
});
for (const wiper of document.querySelectorAll(".wiper input"))
  wiper.addEventListener("input", () => wiper.parentElement.style.setProperty("--at", wiper.value + "%"));
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("program").textContent), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
})();
