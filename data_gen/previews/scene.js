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
  let view = { azimuth: 0, elevation: 0, zoom: 1 };

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

  // Makes a canvas as fine as the screen; returns its context and its scale.
  function fit(canvas) {
    const scale = window.devicePixelRatio || 1;
    const size = Math.max(1, Math.round(canvas.clientWidth * scale));
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, size, size);
    context.lineJoin = context.lineCap = "round";
    return [context, size, scale];
  }

  function strokeLine(context, camera, a, b) {
    if (!a || !b) return;
    const line = projectLine(camera, a, b, scene.world.near);
    if (!line) return;
    context.beginPath();
    // Pixel centres are whole numbers in data_gen, and halves on a canvas.
    context.moveTo(line[0][0] + 0.5, line[0][1] + 0.5);
    context.lineTo(line[1][0] + 0.5, line[1][1] + 0.5);
    context.stroke();
  }

  function strokePath(context, camera, path, first, last) {
    for (let i = first; i < last; i++) strokeLine(context, camera, path[i], path[i + 1]);
  }

  function drawDot(context, camera, point, radius, fill, edge) {
    const place = point && inCamera(camera, point);
    if (!place || place[2] < scene.world.near) return;
    const [x, y] = toPixel(camera, place);
    context.beginPath();
    context.arc(x + 0.5, y + 0.5, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.strokeStyle = edge;
    context.fill();
    context.stroke();
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
      over.lineWidth = 1.25 * scale;
      over.strokeStyle = "#ffffffb0";
      strokePath(over, camera, scene.path, 0, scene.numFrames - 1);
      drawDot(over, camera, scene.path[frame], 3 * scale, "#fff", "#000");
    }
  }

  function drawSpace() {
    const canvas = get("space");
    const [context, size, scale] = fit(canvas);
    const world = scene.world;
    const through = Number(get("eye").value);
    const camera = through >= 0
      ? enlarge(cameras[through], scene.size, size)
      : makeEye(world.azimuth + view.azimuth, world.elevation + view.elevation,
        world.distance / view.zoom, world.target, world.fieldOfView, size);
    const ink = color("--ink");
    const edges = (lines, style, width) => {
      context.strokeStyle = style;
      context.lineWidth = width * scale;
      for (const [a, b] of lines) strokeLine(context, camera, a, b);
    };
    edges(world.ground, color("--ground"), 1);
    edges(world.bounds, color("--line-strong"), 1);
    context.font = `${12 * scale}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    world.frusta.forEach((corners, number) => {
      if (number === through) return;
      const lines = world.frustumEdges.map(([a, b]) => [corners[a], corners[b]]);
      edges(lines, scene.colors[number], 1.5);
      const place = inCamera(camera, corners[0]);
      if (place[2] < world.near) return;
      const [x, y] = toPixel(camera, place);
      const width = context.measureText(scene.names[number]).width;
      const left = Math.min(Math.max(x + 7 * scale, 2 * scale), size - width - 2 * scale);
      context.fillStyle = ink;
      context.strokeStyle = color("--shade");
      context.lineWidth = 3 * scale;
      context.strokeText(scene.names[number], left, y - 8 * scale);
      context.fillText(scene.names[number], left, y - 8 * scale);
    });
    drawAxes(context, camera, ink, scale);
    for (const thing of scene.objects) {
      const dropped = thing.path.map((point) => point && [point[0], point[1], world.floor]);
      context.strokeStyle = color("--line-strong");
      context.lineWidth = scale;
      strokePath(context, camera, dropped, thing.first, thing.last);
      if (isAlive(thing)) strokeLine(context, camera, thing.path[frame], dropped[frame]);
    }
    for (const thing of [...scene.objects].reverse()) {
      const fill = thing.color || color("--soft");
      const isMain = thing === scene.objects[0];
      for (const [style, width] of [[ink, isMain ? 4 : 3], [fill, isMain ? 2.5 : 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width * scale;
        strokePath(context, camera, thing.path, thing.first, thing.last);
      }
      if (!isAlive(thing)) continue;
      context.lineWidth = 1.5 * scale;
      drawDot(context, camera, thing.path[frame], (isMain ? 7 : 5) * scale, fill, ink);
    }
  }

  // x, y and z at the first corner of the bounds.
  function drawAxes(context, camera, ink, scale) {
    if (!scene.world.bounds.length) return;
    const origin = scene.world.bounds[0][0];
    context.fillStyle = context.strokeStyle = ink;
    context.lineWidth = 1.5 * scale;
    ["x", "y", "z"].forEach((name, axis) => {
      const end = origin.map((value, i) => value + (i === axis ? 0.3 : 0));
      strokeLine(context, camera, origin, end);
      const place = inCamera(camera, end.map((value, i) => value + (i === axis ? 0.07 : 0)));
      if (place[2] < scene.world.near) return;
      const [x, y] = toPixel(camera, place);
      context.fillText(name, x - 3 * scale, y);
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
    view = { azimuth: 0, elevation: 0, zoom: 1 };
    get("eye").value = "-1";
    requestDraw();
  }

  function turn(dx, dy) {
    const limit = Math.PI / 2 - 0.01;
    const base = scene.world.elevation;
    get("eye").value = "-1";
    view.azimuth -= dx;
    view.elevation = Math.min(Math.max(base + view.elevation + dy, -limit), limit) - base;
    requestDraw();
  }

  function zoom(factor) {
    get("eye").value = "-1";
    view.zoom = Math.min(Math.max(view.zoom * factor, 0.4), 12);
    requestDraw();
  }

  function listenToSpace(canvas) {
    const pointers = new Map();
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a[0] - b[0], a[1] - b[1]);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => {
      const old = pointers.get(event.pointerId);
      if (!old) return;
      const before = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (pointers.size === 2) zoom(spread() / Math.max(before, 1));
      else if (pointers.size === 1) turn((event.clientX - old[0]) / 120, (event.clientY - old[1]) / 120);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 500));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.1 : 1 / 1.1);
      else if (steps[event.key]) turn(...steps[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
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
    listenToSpace(get("space"));
  }

  get("speed").value = "8";
  listen();
  draw();
  requestAnimationFrame(tick);
}

startPage(JSON.parse(document.getElementById("scene").textContent));
