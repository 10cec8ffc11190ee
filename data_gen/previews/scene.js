function startPage(scene) {
  const get = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clips = [...document.querySelectorAll(".clip")];
  const cameras = scene.intrinsics.map((intrinsics, view) => ({
    intrinsics,
    matrix: scene.cameraFromWorld[view],
  }));
  const isReduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const start = /^#frame=(\d+)$/.exec(location.hash);
  let frame = start ? Math.min(Number(start[1]), scene.numFrames - 1) : 0;
  let isPlaying = !start && !isReduced && scene.numFrames > 1;
  let lastTime = 0;
  let view = startView(scene.world);

  // Pictures are decoded once; masks become lines between pixels.
  const pictures = {};
  for (const [kind, perView] of Object.entries(scene.pictures)) {
    pictures[kind] = perView.map((uris) => uris.map(load));
  }
  const masks = scene.masks ? scene.masks.map((uris) => uris.map(load)) : null;
  const outlines = scene.names.map(() => []);

  function load(uri) {
    const image = new Image();
    image.onload = requestDraw;
    image.src = uri;
    return image;
  }

  let isRequested = false;
  function requestDraw() {
    if (isRequested) return;
    isRequested = true;
    requestAnimationFrame(() => {
      isRequested = false;
      draw();
    });
  }

  function edgesOf(camera) {
    const image = masks[camera][frame];
    if (!image.complete || !image.naturalWidth) return [];
    if (!outlines[camera][frame]) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = scene.size;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const data = context.getImageData(0, 0, scene.size, scene.size).data;
      const ids = Array.from({ length: scene.size ** 2 }, (_, i) => data[4 * i]);
      outlines[camera][frame] = outlineEdges(ids, scene.size);
    }
    return outlines[camera][frame];
  }

  const isAlive = (thing) => thing.first <= frame && frame <= thing.last;
  const isOn = (id) => get(id) !== null && get(id).checked;

  function drawClip(clip, number) {
    const [base, overlay] = clip.querySelectorAll("canvas");
    const image = pictures[get("picture").value][number][frame];
    const context = base.getContext("2d");
    context.clearRect(0, 0, scene.size, scene.size);
    if (image && image.complete && image.naturalWidth) context.drawImage(image, 0, 0);
    const [over, size, scale] = fit(overlay);
    const factor = size / scene.size;
    if (isOn("outlines")) {
      over.lineWidth = 1.5 * scale;
      for (const [x0, y0, x1, y1, id] of edgesOf(number)) {
        over.strokeStyle = id === 1 ? "#ff3b30" : "#ffd60a";
        over.beginPath();
        over.moveTo(x0 * factor, y0 * factor);
        over.lineTo(x1 * factor, y1 * factor);
        over.stroke();
      }
    }
    if (isOn("path")) {
      const camera = enlarge(cameras[number], scene.size, size);
      const pen = { context: over, camera, near: scene.world.near, size, scale };
      over.lineWidth = 1.25 * scale;
      over.strokeStyle = "#ffffffb0";
      strokePath(pen, scene.path, 0, scene.numFrames - 1);
      drawDot(pen, scene.path[frame], 3 * scale, "#fff", "#000");
    }
  }

  function drawSpace() {
    const canvas = get("space");
    const [context, size, scale] = fit(canvas);
    const world = scene.world;
    const through = Number(get("eye").value);
    const camera = through >= 0
      ? enlarge(cameras[through], scene.size, size)
      : eyeOf(view, world, size);
    const pen = { context, camera, near: world.near, size, scale };
    const ink = color("--ink");
    strokeLines(pen, world.ground, color("--ground"), 1);
    strokeLines(pen, world.bounds, color("--line-strong"), 1);
    world.frusta.forEach((corners, number) => {
      if (number === through) return;
      drawFrustum(pen, corners, world.frustumEdges, scene.names[number],
        { line: scene.colors[number], ink, paper: color("--shade") });
    });
    drawAxes(pen, ink);
    for (const thing of scene.objects) {
      const dropped = thing.path.map((point) => point && [point[0], point[1], world.floor]);
      context.strokeStyle = color("--line-strong");
      context.lineWidth = scale;
      strokePath(pen, dropped, thing.first, thing.last);
      if (isAlive(thing)) strokeLine(pen, thing.path[frame], dropped[frame]);
    }
    for (const thing of [...scene.objects].reverse()) {
      const fill = thing.color || color("--soft");
      const isMain = thing === scene.objects[0];
      for (const [style, width] of [[ink, isMain ? 4 : 3], [fill, isMain ? 2.5 : 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width * scale;
        strokePath(pen, thing.path, thing.first, thing.last);
      }
      if (!isAlive(thing)) continue;
      context.lineWidth = 1.5 * scale;
      drawDot(pen, thing.path[frame], (isMain ? 7 : 5) * scale, fill, ink);
    }
  }

  // x, y and z at the first corner of the bounds.
  function drawAxes(pen, ink) {
    if (!scene.world.bounds.length) return;
    const { context, scale } = pen;
    const origin = scene.world.bounds[0][0];
    context.fillStyle = context.strokeStyle = ink;
    context.lineWidth = 1.5 * scale;
    ["x", "y", "z"].forEach((name, axis) => {
      const end = origin.map((value, i) => value + (i === axis ? 0.3 : 0));
      strokeLine(pen, origin, end);
      const place = toCanvas(pen, end.map((value, i) => value + (i === axis ? 0.07 : 0)));
      if (place) context.fillText(name, place[0] - 3 * scale, place[1]);
    });
  }

  function drawTexts() {
    get("frame").value = frame;
    get("frame-text").textContent = `frame ${frame} of ${scene.numFrames - 1}`;
    get("play").textContent = isPlaying ? "Pause" : "Play";
    const kind = get("picture").value;
    const isMissing = !pictures[kind][0][frame];
    get("picture-note").textContent = isMissing ? "There is no flow after the last frame." : scene.notes[kind];
    for (const chart of document.querySelectorAll(".chart svg")) {
      const { left, right } = chart.dataset;
      const share = scene.numFrames > 1 ? frame / (scene.numFrames - 1) : 0;
      const x = Number(left) + share * (right - left);
      chart.querySelector(".cursor").setAttribute("d", `M${x} ${chart.dataset.top}V${chart.dataset.bottom}`);
    }
    for (const value of document.querySelectorAll("[data-values]")) {
      const now = JSON.parse(value.dataset.values)[frame];
      value.textContent = now === null ? "unknown" : now;
    }
    document.querySelectorAll(".life").forEach((bar, number) => {
      bar.classList.toggle("alive", isAlive(scene.objects[number]));
      bar.style.setProperty("--now", scene.numFrames > 1 ? frame / scene.numFrames : 0);
    });
  }

  function draw() {
    clips.forEach(drawClip);
    drawSpace();
    drawTexts();
  }

  function setFrame(number, keepPlaying) {
    frame = (number + scene.numFrames) % scene.numFrames;
    isPlaying = isPlaying && Boolean(keepPlaying);
    requestDraw();
  }

  function togglePlaying() {
    isPlaying = !isPlaying;
    requestDraw();
  }

  function tick(time) {
    if (isPlaying && time - lastTime >= 1000 / Number(get("speed").value)) {
      lastTime = time;
      setFrame(frame + 1, true);
    }
    requestAnimationFrame(tick);
  }

  function reset() {
    view = startView(scene.world);
    get("eye").value = "-1";
    requestDraw();
  }

  function turn(dx, dy) {
    get("eye").value = "-1";
    turnView(view, dx, dy);
    requestDraw();
  }

  function zoom(factor) {
    get("eye").value = "-1";
    zoomView(view, factor);
    requestDraw();
  }

  function listen() {
    get("play").addEventListener("click", togglePlaying);
    get("frame").addEventListener("input", (event) => setFrame(Number(event.target.value)));
    get("reset").addEventListener("click", reset);
    for (const id of ["picture", "eye", "outlines", "path"]) {
      if (get(id)) get(id).addEventListener("change", requestDraw);
    }
    for (const chart of document.querySelectorAll(".chart svg")) {
      const pick = (event) => {
        if (!event.buttons) return;
        const box = chart.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
        const { left, right } = chart.dataset;
        const share = Math.min(Math.max((x - left) / (right - left), 0), 1);
        setFrame(Math.round(share * (scene.numFrames - 1)));
      };
      chart.addEventListener("pointerdown", pick);
      chart.addEventListener("pointermove", pick);
    }
    document.addEventListener("keydown", (event) => {
      if (/^(INPUT|SELECT|BUTTON)$/.test(event.target.tagName)) return;
      if (event.key === " ") togglePlaying();
      else if (event.key === "ArrowLeft") setFrame(frame - 1);
      else if (event.key === "ArrowRight") setFrame(frame + 1);
      else return;
      event.preventDefault();
    });
    addEventListener("resize", requestDraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", requestDraw);
    listenToSpace(get("space"), turn, zoom);
  }

  get("speed").value = "8";
  listen();
  draw();
  requestAnimationFrame(tick);
}

startPage(JSON.parse(document.getElementById("scene").textContent));
