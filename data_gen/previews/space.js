// A 3D picture on a square canvas, and an eye that mouse, fingers and keys turn.
// A pen is {context, camera, near, size, scale}: what lines are drawn with.

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

// Where a point is on the canvas; null if it is behind the eye.
function toCanvas(pen, point) {
  const place = point && inCamera(pen.camera, point);
  if (!place || place[2] < pen.near) return null;
  // Pixel centres are whole numbers in data_gen, and halves on a canvas.
  return toPixel(pen.camera, place).map((value) => value + 0.5);
}

function strokeLine({ context, camera, near }, a, b) {
  if (!a || !b) return;
  const line = projectLine(camera, a, b, near);
  if (!line) return;
  context.beginPath();
  context.moveTo(line[0][0] + 0.5, line[0][1] + 0.5);
  context.lineTo(line[1][0] + 0.5, line[1][1] + 0.5);
  context.stroke();
}

function strokePath(pen, path, first, last) {
  for (let i = first; i < last; i++) strokeLine(pen, path[i], path[i + 1]);
}

function strokeLines(pen, lines, style, width) {
  pen.context.strokeStyle = style;
  pen.context.lineWidth = width * pen.scale;
  for (const [a, b] of lines) strokeLine(pen, a, b);
}

function drawDot(pen, point, radius, fill, edge) {
  const place = toCanvas(pen, point);
  if (!place) return;
  const { context } = pen;
  context.beginPath();
  context.arc(...place, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.strokeStyle = edge;
  context.fill();
  context.stroke();
}

// Where a text begins that would begin at `left`, so that it is all seen.
function keepInside({ context, size, scale }, text, left) {
  const width = context.measureText(text).width;
  return Math.min(Math.max(left, 2 * scale), size - width - 2 * scale);
}

// A camera with its name, which stays inside the picture.
function drawFrustum(pen, corners, edges, name, { line, ink, paper }) {
  const { context, scale } = pen;
  strokeLines(pen, edges.map(([a, b]) => [corners[a], corners[b]]), line, 1.5);
  const place = toCanvas(pen, corners[0]);
  if (!place) return;
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const left = keepInside(pen, name, place[0] + 7 * scale);
  context.fillStyle = ink;
  context.strokeStyle = paper;
  context.lineWidth = 3 * scale;
  context.strokeText(name, left, place[1] - 8 * scale);
  context.fillText(name, left, place[1] - 8 * scale);
}

// Where a world is seen from at first; see World in view3d.py.
const startView = (world) => ({ azimuth: world.azimuth, elevation: world.elevation, zoom: 1 });

function turnView(view, dx, dy) {
  const limit = Math.PI / 2 - 0.01;
  view.azimuth -= dx;
  view.elevation = Math.min(Math.max(view.elevation + dy, -limit), limit);
}

function zoomView(view, factor) {
  view.zoom = Math.min(Math.max(view.zoom * factor, 0.4), 12);
}

const eyeOf = (view, world, size) => makeEye(view.azimuth, view.elevation,
  world.distance / view.zoom, world.target, world.fieldOfView, size);

// Calls turn(dx, dy) in radians and zoom(factor) as a canvas is dragged.
function listenToSpace(canvas, turn, zoom) {
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
