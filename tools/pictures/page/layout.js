// The layout as drawn: each panel's box, its marks (canvas, bars, cells, text), and the texts that leave their box.
[...document.querySelectorAll(".panel")].map((panel) => {
  const box = panel.getBoundingClientRect();
  const inked = (canvas) => {
    const { width, height } = canvas;
    const pixels = width && height ? canvas.getContext("2d").getImageData(0, 0, width, height).data : [];
    let count = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      const [red, green, blue, alpha] = pixels.slice(at, at + 4);
      if (alpha > 60 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40) count++;
    }
    return count;
  };
  const leaves = [...panel.querySelectorAll("*")].filter((one) => one.childElementCount === 0 && one.textContent.trim());
  const outside = leaves.filter((one) => {
    if (one.closest("[data-cut], [role=table], style")) return false;
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const cut = getComputedStyle(one).textOverflow === "ellipsis" && one.scrollWidth > one.clientWidth + 1;
    return cut || left < box.left - 1 || right > box.right + 1 || top < box.top - 1 || bottom > box.bottom + 1;
  });
  return {
    title: panel.dataset.title,
    type: panel.dataset.type,
    box: [box.left, box.top, box.width, box.height].map(Math.round),
    text: panel.innerText.replace(panel.dataset.title, "").trim().slice(0, 80),
    colored: [...panel.querySelectorAll("canvas")].reduce((sum, canvas) => sum + inked(canvas), 0),
    cells: panel.querySelectorAll(".cell, [role=row]").length,
    outside: outside.map((one) => one.textContent.slice(0, 60)),
  };
})
