/**
 * The table: one row per instrument, redrawn at most once a frame and only where something changed.
 */

const POINT_MS = 1000;
const POINTS = 60;

export class Table {
  #body;
  #rows = new Map();
  #dirty = new Set();
  #filter = "";
  #visible = 0;

  constructor(body) {
    this.#body = body;
  }

  get size() {
    return this.#rows.size;
  }

  get visible() {
    return this.#visible;
  }

  /** Takes a quote, trade, ticker or status of an instrument. */
  take(event, nowMs) {
    const row = this.#rows.get(event.symbol) ?? this.#add(event.symbol);
    if (event.type === "quote") Object.assign(row.shown, { bid: event.bid, ask: event.ask });
    if (event.type === "ticker") Object.assign(row.shown, { last: event.last, change: event.change_pct_24h });
    if (event.type === "trade") {
      row.shown.direction = Math.sign(Number(event.price) - Number(row.shown.last ?? event.price)) || row.shown.direction;
      row.shown.last = event.price;
    }
    if (event.type === "status") row.shown.state = event.state === "live" ? "live" : `${event.state}${event.reason ? `: ${event.reason}` : ""}`;
    if (event.type === "trade" || event.type === "ticker") this.#point(row, Number(event.type === "trade" ? event.price : event.last), nowMs);
    this.#dirty.add(row);
  }

  /** Shows rows whose id contains every word. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    this.#visible = 0;
    for (const row of this.#rows.values()) this.#hide(row);
  }

  /** Writes what changed since the last call. */
  draw(colors) {
    for (const row of this.#dirty) if (!row.element.hidden) write(row, colors);
    this.#dirty.clear();
  }

  /** Everything again, because the colours changed. */
  redraw() {
    for (const row of this.#rows.values()) {
      row.written = {};
      this.#dirty.add(row);
    }
  }

  #add(symbol) {
    const element = rowElement(symbol);
    const [name, bid, ask, last, change, trend, state] = element.children;
    const row = { symbol, element, cells: { name, bid, ask, last, change, state }, canvas: trend.firstChild, shown: { direction: 0 }, written: {}, points: [], pointAtMs: 0 };
    let next;
    for (const other of this.#rows.keys()) if (other > symbol && (next === undefined || other < next)) next = other;
    this.#body.insertBefore(element, next === undefined ? null : this.#rows.get(next).element);
    this.#rows.set(symbol, row);
    this.#hide(row);
    return row;
  }

  #hide(row) {
    const id = row.symbol.toLowerCase();
    row.element.hidden = !this.#filter.split(/\s+/).every((word) => id.includes(word));
    if (!row.element.hidden) {
      this.#visible++;
      this.#dirty.add(row);
    }
  }

  #point(row, value, nowMs) {
    if (!Number.isFinite(value)) return;
    if (nowMs - row.pointAtMs < POINT_MS && row.points.length > 0) row.points[row.points.length - 1] = value;
    else {
      row.points.push(value);
      row.pointAtMs = nowMs;
      if (row.points.length > POINTS) row.points.shift();
    }
  }
}

function rowElement(symbol) {
  const element = document.createElement("tr");
  const [venue, ...rest] = symbol.split(":");
  const name = document.createElement("th");
  name.scope = "row";
  const prefix = document.createElement("small");
  prefix.textContent = `${venue}:`;
  name.append(prefix, rest.join(":"));
  element.append(name);
  for (const kind of ["number", "number", "number", "number", "trend", "state"]) {
    const cell = document.createElement("td");
    cell.className = kind;
    if (kind === "trend") {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      cell.append(canvas);
    }
    element.append(cell);
  }
  return element;
}

function write(row, colors) {
  const { shown, written, cells } = row;
  put(row, "bid", shown.bid ?? "");
  put(row, "ask", shown.ask ?? "");
  put(row, "last", shown.last ?? "");
  put(row, "change", percent(shown.change));
  put(row, "state", shown.state ?? "");
  toggle(cells.last, shown.direction);
  toggle(cells.change, Math.sign(Number(shown.change ?? 0)));
  const state = (shown.state ?? "").split(":")[0];
  if (row.element.dataset.state !== state) row.element.dataset.state = state;
  const last = row.points.at(-1);
  if (written.point !== last || written.points !== row.points.length || written.color !== colors.quiet) spark(row, colors);
  Object.assign(written, { point: last, points: row.points.length, color: colors.quiet });
}

function put({ cells, written }, name, text) {
  if (written[name] === text) return;
  cells[name].textContent = text;
  written[name] = text;
}

function toggle(cell, sign) {
  cell.classList.toggle("up", sign > 0);
  cell.classList.toggle("down", sign < 0);
}

function percent(change) {
  if (change === undefined || change === null) return "";
  return `${Number(change) > 0 ? "+" : ""}${change} %`;
}

function spark({ canvas, points, symbol }, colors) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [140, 26];
  if (canvas.width !== width * ratio) Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (points.length < 2) return;
  const [low, high] = [Math.min(...points), Math.max(...points)];
  const x = (i) => width - 4 - ((points.length - 1 - i) * (width - 6)) / (POINTS - 1);
  const y = (value) => (high === low ? height / 2 : height - 4 - ((value - low) / (high - low)) * (height - 8));
  const line = new Path2D();
  for (const [i, value] of points.entries()) line.lineTo(x(i), y(value));
  const area = new Path2D(line);
  area.lineTo(x(points.length - 1), height);
  area.lineTo(x(0), height);
  const color = points.at(-1) >= points[0] ? colors.up : colors.down;
  Object.assign(context, { strokeStyle: color, fillStyle: color, lineWidth: 1.5, lineJoin: "round", globalAlpha: 0.1 });
  context.fill(area);
  context.globalAlpha = 1;
  context.stroke(line);
  context.beginPath();
  context.arc(x(points.length - 1), y(points.at(-1)), 2, 0, 7);
  context.fill();
  const moved = ((points.at(-1) / points[0] - 1) * 100).toFixed(2);
  canvas.setAttribute("aria-label", `${symbol}: ${moved} percent in ${points.length} seconds`);
}
