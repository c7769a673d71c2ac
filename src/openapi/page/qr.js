/** The modules of a QR code (ISO/IEC 18004) as rows of truth values: bytes, error correction L, mask 0, the smallest version up to 15. */
/** Null if the text is too long. */
function qrModules(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const rooms = [19, 34, 55, 80, 108, 136, 156, 194, 232, 274, 324, 370, 428, 461, 523];
  const version = rooms.findIndex((room, at) => bytes.length + (at > 8 ? 3 : 2) <= room) + 1;
  if (version === 0) return null;
  const room = rooms[version - 1];
  const degree = [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22][version - 1];
  const count = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6][version - 1];

  // The data: its mode and length, the bytes, and padding.
  const bits = [];
  const put = (number, count) => { for (let at = count - 1; at >= 0; at -= 1) bits.push((number >> at) & 1); };
  put(4, 4);
  put(bytes.length, version > 9 ? 16 : 8);
  for (const byte of bytes) put(byte, 8);
  put(0, 4);
  const words = [];
  for (let at = 0; at < bits.length; at += 8) words.push(parseInt(bits.slice(at, at + 8).join(""), 2));
  for (let pad = 0xec; words.length < room; pad ^= 0xec ^ 0x11) words.push(pad);

  // Reed-Solomon over GF(256), for each block.
  const times = (one, other) => {
    let product = 0;
    for (let at = 7; at >= 0; at -= 1) product = (product << 1) ^ ((product >> 7) * 0x11d) ^ (((other >> at) & 1) * one);
    return product;
  };
  const divisor = [...Array(degree - 1).fill(0), 1];
  for (let root = 1, step = 0; step < degree; step += 1, root = times(root, 2)) {
    for (let at = 0; at < degree; at += 1) divisor[at] = times(divisor[at], root) ^ (divisor[at + 1] || 0);
  }
  const check = (block) => {
    const rest = Array(degree).fill(0);
    for (const word of block) {
      const factor = word ^ rest.shift();
      rest.push(0);
      divisor.forEach((value, at) => { rest[at] ^= times(value, factor); });
    }
    return rest;
  };
  const blocks = [];
  for (let at = 0, number = 0; number < count; number += 1) blocks.push(words.slice(at, at += Math.floor((room + number) / count)));
  const checks = blocks.map(check);
  const longest = Math.max(...blocks.map((block) => block.length));
  const woven = [];
  for (let at = 0; at < longest; at += 1) for (const block of blocks) if (at < block.length) woven.push(block[at]);
  for (let at = 0; at < degree; at += 1) for (const block of checks) woven.push(block[at]);

  // The patterns that every code has.
  const size = 17 + 4 * version;
  const grid = Array.from({ length: size }, () => Array(size).fill(null));
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) grid[y][x] = Boolean(dark); };
  const square = (x, y, radius, rings) => {
    for (let dy = -radius; dy <= radius; dy += 1) for (let dx = -radius; dx <= radius; dx += 1) set(x + dx, y + dy, rings(Math.max(Math.abs(dx), Math.abs(dy))));
  };
  for (let at = 0; at < size; at += 1) { set(6, at, at % 2 === 0); set(at, 6, at % 2 === 0); }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, (ring) => ring !== 2 && ring !== 4);
  const lines = version > 1 ? Math.floor(version / 7) + 2 : 0;
  const places = lines ? [6] : [];
  const apart = Math.ceil((4 * version + 4) / (2 * lines - 2)) * 2;
  for (let place = size - 7; places.length < lines; place -= apart) places.splice(1, 0, place);
  const isCorner = (x, y) => [[6, 6], [6, size - 7], [size - 7, 6]].some(([cx, cy]) => x === cx && y === cy);
  for (const x of places) for (const y of places) if (!isCorner(x, y)) square(x, y, 2, (ring) => ring !== 1);
  const remainder = (number, degreeOf, generator) => {
    let rest = number;
    for (let step = 0; step < degreeOf; step += 1) rest = (rest << 1) ^ ((rest >> (degreeOf - 1)) * generator);
    return (number << degreeOf) | rest;
  };
  const format = remainder(8, 10, 0x537) ^ 0x5412;
  for (let at = 0; at < 15; at += 1) {
    const dark = (format >> at) & 1;
    if (at < 6) set(8, at, dark); else if (at < 8) set(8, at + 1, dark); else if (at === 8) set(7, 8, dark); else set(14 - at, 8, dark);
    if (at < 8) set(size - 1 - at, 8, dark); else set(8, size - 15 + at, dark);
  }
  set(8, size - 8, true);
  const about = remainder(version, 12, 0x1f25);
  for (let at = 0; version > 6 && at < 18; at += 1) {
    const [far, near] = [size - 11 + (at % 3), Math.floor(at / 3)];
    set(far, near, (about >> at) & 1);
    set(near, far, (about >> at) & 1);
  }

  // The data goes up and down in columns of two, from the right.
  let at = 0;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (grid[y][x] !== null) continue;
        const bit = at < woven.length * 8 ? (woven[at >> 3] >> (7 - (at & 7))) & 1 : 0;
        at += 1;
        grid[y][x] = Boolean(bit) !== ((x + y) % 2 === 0);
      }
    }
  }
  return grid;
}

/** The QR code as a picture, with its quiet zone. */
function qrCode(text) {
  const grid = qrModules(text);
  if (!grid) return null;
  const path = grid.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  const side = grid.length + 8;
  return h("svg", { viewBox: `-4 -4 ${side} ${side}`, width: 4 * side, height: 4 * side, class: "qr", role: "img", "aria-label": "QR code for an authenticator", "shape-rendering": "crispEdges" },
    h("path", { d: path }));
}
