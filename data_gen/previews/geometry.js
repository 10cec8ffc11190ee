"use strict";

// Cameras, as in data_gen/rendering/cameras.py: a point p is seen at the pixel x / z,
// y / z of K (R p + t). A camera is {matrix: [R | t], intrinsics: K}.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const minus = (a, b) => a.map((value, i) => value - b[i]);
const times = (a, factor) => a.map((value) => value * factor);
const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
const unit = (a) => times(a, 1 / Math.hypot(...a));

function inCamera(camera, point) {
  return camera.matrix.map((row) => dot(row, point) + row[3]);
}

function toPixel(camera, point) {
  const [x, y, z] = camera.intrinsics.map((row) => dot(row, point));
  return [x / z, y / z];
}

// The same as make_eye in view3d.py.
function makeEye(azimuth, elevation, distance, target, fieldOfView, size) {
  const flat = Math.cos(elevation);
  const direction = [flat * Math.cos(azimuth), flat * Math.sin(azimuth), Math.sin(elevation)];
  const position = target.map((value, i) => value + distance * direction[i]);
  const forward = times(direction, -1);
  const right = unit(cross(forward, [0, 0, 1]));
  const down = cross(forward, right);
  const focal = size / 2 / Math.tan(fieldOfView / 2);
  const centre = (size - 1) / 2;
  return {
    matrix: [right, down, forward].map((row) => [...row, -dot(row, position)]),
    intrinsics: [[focal, 0, centre], [0, focal, centre], [0, 0, 1]],
  };
}

// A camera of the scene whose picture is enlarged to `size` pixels a side.
function enlarge(camera, imageSize, size) {
  const factor = size / imageSize;
  const shift = (factor - 1) / 2;
  const [first, second] = camera.intrinsics.map((row) => times(row, factor));
  first[2] += shift;
  second[2] += shift;
  return { matrix: camera.matrix, intrinsics: [first, second, [0, 0, 1]] };
}

// The part of a line before the eye, as two pixels; null if there is none.
function projectLine(camera, start, end, near) {
  let [a, b] = [inCamera(camera, start), inCamera(camera, end)];
  if (a[2] < near && b[2] < near) return null;
  const meet = (p, q) => p.map((value, i) => value + ((near - p[2]) / (q[2] - p[2])) * (q[i] - value));
  if (a[2] < near) a = meet(a, b);
  else if (b[2] < near) b = meet(b, a);
  return [toPixel(camera, a), toPixel(camera, b)];
}

// Pixel edges between different ids: [x0, y0, x1, y1, id] in corners of pixels.
function outlineEdges(ids, size) {
  const edges = [];
  const at = (x, y) => (x < 0 || y < 0 || x >= size || y >= size ? 0 : ids[y * size + x]);
  for (let y = 0; y <= size; y++) {
    for (let x = 0; x <= size; x++) {
      const id = at(x, y);
      if (id !== at(x - 1, y)) edges.push([x, y, x, y + 1, id || at(x - 1, y)]);
      if (id !== at(x, y - 1)) edges.push([x, y, x + 1, y, id || at(x, y - 1)]);
    }
  }
  return edges;
}
