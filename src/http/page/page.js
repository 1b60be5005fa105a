/**
 * The live page: connects the stream to the table, the feed strip and the footer.
 */
import { StreamClient } from "./stream-client.js";
import { Table } from "./table.js";

const byId = (id) => document.getElementById(id);
const table = new Table(byId("rows"));
const dialog = byId("key-dialog");
const number = new Intl.NumberFormat("en");

const client = new StreamClient({
  onState(state, text) {
    byId("connection").dataset.state = state;
    byId("connection").textContent = text;
  },
  onEvent(event) {
    if (event.symbol.endsWith(":*")) venueStates.set(event.symbol.slice(0, -2), event);
    else table.take(event, performance.now());
  },
  onFeeds: showFeeds,
  onBanner: showBanner,
  onRefused: (text) => {
    byId("empty").textContent = text;
  },
  onKeyNeeded(reason) {
    byId("key-reason").textContent = reason;
    if (!dialog.open) dialog.showModal();
  },
});
const venueStates = new Map();

function showFeeds(feeds) {
  byId("feeds").replaceChildren(...Object.entries(feeds).map(([name, feed]) => {
    const item = document.createElement("li");
    item.dataset.state = feed.state;
    const title = document.createElement("b");
    title.textContent = name;
    const state = document.createElement("i");
    state.textContent = feed.state;
    item.append(title, " ", state);
    const reason = venueStates.get(name)?.reason;
    if (reason) item.title = reason;
    if (feed.simulated === true) {
      const badge = document.createElement("span");
      badge.className = "badge";
      badge.textContent = "SIMULATED";
      item.append(badge);
    }
    return item;
  }));
}

function showBanner(text) {
  const banner = byId("banner");
  banner.hidden = text === null;
  if (banner.textContent !== (text ?? "")) banner.textContent = text ?? "";
}

let colors = readColors();
function readColors() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const colorOf = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const read = { up: colorOf("up"), down: colorOf("down"), quiet: colorOf("quiet") };
  probe.remove();
  return read;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colors = readColors();
  table.redraw();
});

function frame() {
  table.draw(colors);
  byId("empty").hidden = table.visible > 0;
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

let eventsBefore = 0;
function showCounts() {
  const { counts } = client;
  const shown = { instruments: table.visible === table.size ? table.size : `${table.visible}/${table.size}`, rate: counts.events - eventsBefore, ...counts };
  eventsBefore = counts.events;
  for (const [name, value] of Object.entries(shown)) {
    const cell = byId(`count-${name}`);
    cell.textContent = typeof value === "number" ? number.format(value) : value;
    cell.classList.toggle("fault", (name === "missing" || name === "repeated") && value > 0);
  }
  if (table.size > 0 && table.visible === 0) byId("empty").textContent = "No instrument matches the filter.";
}
setInterval(showCounts, 1000);

byId("filter").addEventListener("input", ({ target }) => table.filter(target.value));
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  byId("filter").focus();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close();
  void client.useKey(byId("key").value.trim());
});

void fetch("/page-config.json").then((reply) => reply.json()).then((config) => {
  byId("version").textContent = `ticker-service ${config.version}`;
  showBanner(config.banner);
});
void client.connect();
