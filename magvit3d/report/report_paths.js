
// The section of paths in the report; `content` is made by path_section.py.
function startPaths(content) {
  const get = (id) => document.getElementById(`path-${id}`);
  const canvas = get("space");
  const sources = [...document.querySelectorAll(".sources tbody tr")];
  const switches = sources.map((row) => row.querySelector("input"));
  const style = { soft: "#5b636e", line: "#c3c9d1", camera: "#8a8f98", ink: "#1b1f24", paper: "#ffffff" };
  const lastFrame = content.numFrames - 1;
  // Paths are small beside the cameras, which may stand out of the picture.
  const closeView = (world) => ({ ...startView(world), zoom: 1.3 });
  const inMetres = (path) => path.map((point) => point && times(point, 0.001));
  const frameTime = 1000 / 8;
  let scene = null;
  let frame = lastFrame;
  let isPlaying = false;
  let lastTime = 0;
  let view = null;

  function pick(row) {
    const old = scene;
    const found = content.scenes[row];
    scene = { ...found, paths: [found.truth, ...found.paths].map(inMetres), rig: content.rigs[found.rig] };
    if (!old || old.rig !== scene.rig) view = closeView(scene.rig.world);
    get("scene").value = row;
    requestDraw();
  }

  let isRequested = false;
  function requestDraw() {
    if (isRequested) return;
    isRequested = true;
    requestAnimationFrame(() => {
      isRequested = false;
      drawSpace();
      drawTexts();
    });
  }

  // The object was found there in two views; the true path is always known.
  const isFound = (source, t) => source === 0 || scene.found[source - 1][t] === "1";

  // Of the four edges of the box along an axis, the lowest one in the picture,
  // and for z the one that is furthest to the left, is labelled.
  function drawTicks(pen) {
    const { context, scale } = pen;
    const middle = toCanvas(pen, [0, 0, 0]);
    const taken = [];
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.lineWidth = scale;
    ["x", "y", "z"].forEach((name, axis) => {
      const half = content.box[axis];
      const edges = [[1, 1], [1, -1], [-1, 1], [-1, -1]].map((signs) => (value) => {
        let next = 0;
        return content.box.map((size, i) => (i === axis ? value : size * signs[next++]));
      });
      const rank = (edge) => {
        const place = toCanvas(pen, edge(0));
        return place ? (axis < 2 ? -place[1] : place[0]) : Infinity;
      };
      const edge = edges.reduce((a, b) => (rank(b) < rank(a) ? b : a));
      const ends = [-half, 0, half].map((value) => toCanvas(pen, edge(value)));
      if (!middle || ends.some((end) => !end)) return;
      const along = minus(ends[2], ends[0]);
      const length = Math.hypot(...along);
      if (length < 70 * scale) return;  // Seen along the axis.
      let out = times([-along[1], along[0]], 1 / length);
      const outwards = minus(ends[1], middle);
      if (out[0] * outwards[0] + out[1] * outwards[1] < 0) out = times(out, -1);
      const isBeside = Math.abs(out[0]) > 0.5;
      const write = (text, place) => {
        const share = isBeside ? (out[0] > 0 ? 0 : 1) : 0.5;
        const width = context.measureText(text).width;
        const left = keepInside(pen, text, place[0] - share * width);
        // Axes that meet in a corner would write over each other.
        const box = [left - 2 * scale, left + width + 2 * scale, place[1]];
        const isOver = (other) => box[0] < other[1] && other[0] < box[1]
          && Math.abs(box[2] - other[2]) < 12 * scale;
        if (taken.some(isOver)) return;
        taken.push(box);
        context.fillText(text, left, place[1]);
      };
      const step = length / (2 * half) < 110 * scale ? half : 0.5;
      context.fillStyle = context.strokeStyle = style.soft;
      context.font = `${11 * scale}px system-ui, sans-serif`;
      for (let value = -half; value <= half + 1e-9; value += step) {
        const place = toCanvas(pen, edge(value));
        const at = (distance) => place.map((p, i) => p + out[i] * distance * scale);
        context.beginPath();
        context.moveTo(...place);
        context.lineTo(...at(5));
        context.stroke();
        write(String(value).replace("-", "−"), at(isBeside ? 9 : 15));
      }
      context.fillStyle = style.ink;
      context.font = `600 ${12 * scale}px system-ui, sans-serif`;
      const top = ends[0][1] < ends[2][1] ? ends[0] : ends[2];
      const namePlace = axis === 2
        ? [top[0], top[1] - 18 * scale]
        : ends[1].map((p, i) => p + out[i] * (isBeside ? 44 : 34) * scale);
      write(`${name}, m`, namePlace);
    });
  }

  function drawCross(pen, point, color) {
    const place = toCanvas(pen, point);
    if (!place) return;
    const { context, scale } = pen;
    const arm = 4 * scale;
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(place[0] - arm, place[1] - side * arm);
      context.lineTo(place[0] + arm, place[1] + side * arm);
    }
    context.strokeStyle = color;
    context.lineWidth = 2 * scale;
    context.stroke();
  }

  function drawPath(pen, source) {
    const { context, scale } = pen;
    const path = scene.paths[source];
    const color = content.colors[source];
    const shown = path.map((point, t) => (isFound(source, t) ? point : null));
    const lastGiven = Math.min(content.given, content.numFrames) - 1;
    context.strokeStyle = color;
    context.lineWidth = 1.25 * scale;
    strokePath(pen, shown, 0, Math.max(lastGiven, 0));
    context.lineWidth = 3 * scale;
    strokePath(pen, shown, Math.max(lastGiven, 0), lastFrame);
    context.lineWidth = 0.75 * scale;
    for (let t = lastGiven + 1; t <= lastFrame; t++) drawDot(pen, shown[t], 3 * scale, color, style.paper);
    context.lineWidth = 1.5 * scale;
    if (lastGiven >= 0) drawDot(pen, shown[lastGiven], 4 * scale, style.paper, color);
    path.forEach((point, t) => {
      if (!isFound(source, t) || !point) drawCross(pen, point || scene.paths[0][t], color);
    });
  }

  function drawSpace() {
    const [context, size, scale] = fit(canvas);
    const { world, names } = scene.rig;
    const through = Number(get("eye").value);
    const camera = through >= 0 && through < names.length
      ? enlarge({ matrix: scene.rig.matrices[through], intrinsics: scene.rig.intrinsics[through] },
        content.imageSize, size)
      : eyeOf(view, world, size);
    const pen = { context, camera, near: world.near, size, scale };
    strokeLines(pen, world.bounds, style.line, 1);
    if (through < 0) drawTicks(pen);
    world.frusta.forEach((corners, number) => {
      if (number === through) return;
      drawFrustum(pen, corners, world.frustumEdges, names[number],
        { line: style.camera, ink: style.soft, paper: style.paper });
    });
    const isOn = (source) => switches[source].checked;
    const order = sources.map((_, source) => source).filter(isOn);
    for (const source of order) {
      const dropped = scene.paths[source].map((point) => point && [point[0], point[1], world.floor]);
      strokeLines(pen, dropped.slice(1).map((point, t) => [dropped[t], point]), `${content.colors[source]}40`, 1);
      const point = scene.paths[source][frame];
      if (point) strokeLines(pen, [[point, dropped[frame]]], `${content.colors[source]}80`, 1);
    }
    // Above the others lie the true path and, on top, the prediction.
    const height = (source) => (source < 2 ? source + 1 : 0);
    order.sort((a, b) => height(a) - height(b));
    for (const source of order) drawPath(pen, source);
    context.lineWidth = 1.5 * scale;
    for (const source of order) {
      if (isFound(source, frame)) drawDot(pen, scene.paths[source][frame], 6 * scale, content.colors[source], style.paper);
    }
  }

  const asMetres = (value) => (value === null || value === undefined ? "unknown" : `${value.toFixed(3)} m`);

  function drawTexts() {
    const part = frame < content.given ? "given" : "not given";
    get("frame").value = frame;
    get("frame-text").textContent = `frame ${frame} of ${lastFrame}, ${part}`;
    get("play").textContent = isPlaying ? "Pause" : "Play";
    get("caption").textContent = `Scene ${scene.id}: ${scene.caption || scene.kind}`;
    const truth = scene.paths[0][frame];
    sources.forEach((row, source) => {
      const [ade, now] = row.querySelectorAll("td");
      if (source === 0) {
        ade.textContent = now.textContent = "";
        return;
      }
      const point = scene.paths[source][frame];
      ade.textContent = asMetres(scene.ade[source - 1]);
      now.textContent = isFound(source, frame)
        ? asMetres(point && truth && Math.hypot(...minus(point, truth)))
        : "not found";
    });
  }

  function step(by) {
    const options = [...get("scene").options];
    const place = (get("scene").selectedIndex + by + options.length) % options.length;
    pick(Number(options[place].value));
  }

  function sort() {
    const sign = Number(get("order").value);
    const ade = (option) => content.scenes[option.value].ade[0] ?? Infinity;
    const options = [...get("scene").options].sort((a, b) => {
      if (!sign) return a.value - b.value;
      const [first, second] = [ade(a), ade(b)];
      if (first === second) return a.value - b.value;
      return Number.isFinite(first) && Number.isFinite(second) ? sign * (first - second) : first - second;
    });
    get("scene").replaceChildren(...options);
    pick(Number(options[0].value));
  }

  function setFrame(number) {
    frame = number % content.numFrames;
    requestDraw();
  }

  function tick(time) {
    if (!isPlaying) return;
    if (time - lastTime >= frameTime) {
      lastTime = time;
      setFrame(frame + 1);
    }
    requestAnimationFrame(tick);
  }

  function listen() {
    get("scene").addEventListener("change", () => pick(Number(get("scene").value)));
    get("before").addEventListener("click", () => step(-1));
    get("after").addEventListener("click", () => step(1));
    get("order").addEventListener("change", sort);
    get("eye").addEventListener("change", requestDraw);
    get("play").addEventListener("click", () => {
      isPlaying = !isPlaying;
      requestAnimationFrame(tick);
      requestDraw();
    });
    get("frame").addEventListener("input", () => {
      isPlaying = false;
      setFrame(Number(get("frame").value));
    });
    get("reset").addEventListener("click", () => {
      get("eye").value = "-1";
      view = closeView(scene.rig.world);
      requestDraw();
    });
    for (const input of switches) input.addEventListener("change", requestDraw);
    for (const link of document.querySelectorAll("a[data-scene]")) {
      const id = Number(link.dataset.scene);
      const row = content.scenes.findIndex((other) => other.id === id);
      link.addEventListener("click", () => pick(row));
    }
    addEventListener("resize", requestDraw);
    listenToSpace(canvas, (dx, dy) => {
      get("eye").value = "-1";
      turnView(view, dx, dy);
      requestDraw();
    }, (factor) => {
      get("eye").value = "-1";
      zoomView(view, factor);
      requestDraw();
    });
  }

  listen();
  pick(content.first);
}

startPaths(JSON.parse(document.getElementById("path-data").textContent));
