// The photos of a page: pictures that come when they are scrolled to and go when they are far, wipers, and one photo at
// 100 %. In: #pictures, JSON of {small, full}: V of [taken, sharp, circle] each, addresses or null.
{
  const $ = (id) => document.getElementById(id);
  const { small, full } = JSON.parse($("pictures").textContent);
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        const [i, k] = target.dataset.at.split(",").map(Number);
        target.src = small[i][k];
      } else target.removeAttribute("src");
    }
  }, { rootMargin: "300px" });
  for (const img of document.querySelectorAll("img[data-at]")) near.observe(img);
  addEventListener("beforeprint", () => {
    for (const img of [...document.querySelectorAll("img[data-at]")].slice(0, 9)) {
      const [i, k] = img.dataset.at.split(",").map(Number);
      img.src = small[i][k];
    }
  });

  const wipe = (wiper, at, name) => {
    wiper.style.setProperty("--at", `${at}%`);
    const text = at <= 0 ? "all sharp" : at >= 100 ? "all as taken" : `${Math.round(at)} % as taken, the rest sharp`;
    name.setAttribute("aria-valuetext", text);
  };
  for (const line of document.querySelectorAll(".photos .wiper input"))
    line.addEventListener("input", () => wipe(line.parentElement, Number(line.value), line));

  const circles = $("circles"), sharps = $("sharps");
  for (const button of circles ? [circles, sharps] : []) button.addEventListener("click", () => {
    document.querySelector(".photos").classList.toggle("circles", button === circles);
    for (const one of [circles, sharps]) one.setAttribute("aria-pressed", String(one === button));
    $("circles-legend").hidden = button !== circles;
  });

  const large = $("large");
  if (large) {
    const shown = small.map((_, i) => i).filter((i) => small[i][0] || small[i][1]);
    const names = JSON.parse($("facts").textContent).photos.map((photo) => photo.name);
    const wiper = $("large-wiper"), line = $("large-line"), box = $("large-scroll");
    let at = 0, side = "both";
    const address = (i, k) => full[i]?.[k] ?? small[i][k];
    const sides = () => {
      const images = [...wiper.children];
      const one = images.length < 2 ? "only" : side;
      wipe(wiper, one === "taken" ? 100 : one === "sharp" ? 0 : Number(line.value), line);
      wiper.classList.toggle("one", one !== "both");
      line.disabled = one !== "both";
      for (const name of ["taken", "both", "sharp"]) $(`large-${name}`).setAttribute("aria-pressed", String(side === name));
    };
    const open = (i) => {
      at = i;
      const { scrollLeft, scrollTop } = box;
      const images = [0, 1].map((k) => [address(i, k), k]).filter(([src]) => src).map(([src, k]) => {
        const img = new Image();
        img.alt = `${names[i]} ${k ? "sharp" : "as taken"}`;
        img.decoding = "async";
        img.src = src;
        return img;
      });
      wiper.replaceChildren(...images);
      const first = images[0];
      first.addEventListener("load", () => {
        // One pixel of the photo is one of the screen.
        first.style.width = `${first.naturalWidth / devicePixelRatio}px`;
        $("large-size").textContent = `${first.naturalWidth} × ${first.naturalHeight} px, 100 %`;
        box.scrollTo(scrollLeft, scrollTop);
      });
      $("large-name").textContent = names[i];
      sides();
      if (!large.open) {
        large.showModal();
        const middle = () => box.scrollTo((box.scrollWidth - box.clientWidth) / 2, (box.scrollHeight - box.clientHeight) / 2);
        first.addEventListener("load", () => requestAnimationFrame(middle), { once: true });
      }
    };
    const step = (by) => open(shown[(shown.indexOf(at) + by + shown.length) % shown.length]);
    for (const button of document.querySelectorAll("[data-large]"))
      button.addEventListener("click", () => open(Number(button.dataset.large)));
    $("large-before").addEventListener("click", () => step(-1));
    $("large-next").addEventListener("click", () => step(1));
    line.addEventListener("input", sides);
    for (const name of ["taken", "both", "sharp"]) $(`large-${name}`).addEventListener("click", () => { side = name; sides(); });
    // The line follows the pointer over the photo: no need to leave what is looked at.
    wiper.addEventListener("pointermove", (e) => {
      if (side !== "both") return;
      const r = wiper.getBoundingClientRect();
      line.value = String(((e.clientX - r.left) / r.width) * 100);
      sides();
    });
    large.addEventListener("close", () => wiper.replaceChildren()); // nothing stays decoded
  }
  $("copy")?.addEventListener("click", async () => {
    const text = $("snippet").textContent;
    try { await navigator.clipboard.writeText(text); } catch {
      const range = document.createRange();
      range.selectNodeContents($("snippet"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    $("copy").textContent = "Copied";
  });
  if (location.hash === "#view") document.body.classList.add("embed");
}
